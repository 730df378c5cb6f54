package mail

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The bounds of what RetryAfter believes.
const (
	retryMin = time.Second
	retryMax = 24 * time.Hour
)

// retryForm is how servers of several makes name a time to come back. The
// words before it keep "no data for 30 seconds" from being taken for one.
var retryForm = regexp.MustCompile(`(?i)\b(?:again|retry|retries|wait|back|greylist\w*|graylist\w*|deferred)\b[^0-9.;]{0,30}?\b(\d{1,9}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b`)

// RetryAfter returns how long a 4yz reply asks to wait, as in "try again in
// 300 seconds", within a second and a day.
func (r Reply) RetryAfter() (time.Duration, bool) {
	if !r.Temporary() {
		return 0, false
	}
	m := retryForm.FindStringSubmatch(r.Text())
	if m == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(m[1])
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour}[strings.ToLower(m[2])[0]]
	n = min(n, int(retryMax/unit))
	return max(time.Duration(n)*unit, retryMin), true
}
