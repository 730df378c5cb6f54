package queue

import (
	"fmt"
	"strings"
	"time"

	"backstamp/mail"
)

// retries are the delays after the first tries; the last one repeats.
var retries = [...]time.Duration{
	1 * time.Minute, 5 * time.Minute, 15 * time.Minute,
	30 * time.Minute, 60 * time.Minute, 120 * time.Minute,
}

const (
	quotaWindow = 24 * time.Hour
	longestHold = 26 * time.Hour // longer than any day, and what a window is late
	longestAsk  = 6 * time.Hour  // the longest wait that a reply may ask for

	// longestDelay is more than any delay with its jitter.
	longestDelay = 7 * time.Hour

	// lateMost is how late a try may come with its time counting whole.
	lateMost = time.Hour
)

// delay returns how long to wait after the given number of tries: the
// schedule's delay give or take a tenth, by random in [0,1). What the reply
// asked for counts instead, never less than that; a provider that asks for
// little again and again gets the schedule after its sixth try.
func delay(tries int, asked time.Duration, random float64) time.Duration {
	d := retries[min(tries, len(retries))-1]
	asked = min(asked, longestAsk)
	if asked > 0 && (tries < len(retries) || asked > d) {
		return asked + time.Duration(float64(asked)*random/10)
	}
	return d + time.Duration(float64(d)*(random-0.5)/5)
}

// A judge turns tries into outcomes.
type judge struct {
	message *mail.Message
	way     way
	now     time.Time
	expire  time.Duration
	random  func() float64
	stopped bool // the try was cut short by ourselves
}

// outcome says what becomes of a delivery after a try.
func (j *judge) outcome(d mail.Delivery, a mail.Attempt) mail.Outcome {
	o := mail.Outcome{
		Message: d.Message, Index: d.Index, At: j.now, Attempted: true,
		Waited: j.waited(d), Uncertain: a.Uncertain, Reply: a.Reply.String(), Explain: a.Explain, UpstreamID: a.UpstreamID,
		Text: said(a),
	}
	if a.Err != nil && o.Reply == "" && o.Explain == nil {
		o.Explain = unanswered(a.Err)
	}
	switch {
	case a.Taken():
		o.Status, o.Kind, o.Credential = mail.Sent, mail.KindSent, j.way.Credential
	case a.Class == mail.ClassAuth:
		hold(&o, mail.HoldAuth, time.Time{})
	case a.Class == mail.ClassAccount:
		hold(&o, mail.HoldAccount, time.Time{})
	case a.Class == mail.ClassQuota:
		hold(&o, mail.HoldQuota, j.way.Limits.reopens(j.now))
	case final(a):
		o.Status, o.Kind = mail.Failed, mail.KindFailed
		o.Text = j.record(d, a, "refused")
	default:
		j.again(&o, d, a)
	}
	return o
}

// final reports whether another try would get the same answer.
func final(a mail.Attempt) bool {
	switch a.Class {
	case mail.ClassSender, mail.ClassRecipient, mail.ClassContent:
		return !a.Reply.Temporary()
	case mail.ClassThrottling, mail.ClassTemporary:
		return false
	}
	return a.Reply.Permanent()
}

func hold(o *mail.Outcome, reason string, until time.Time) {
	o.Status, o.Kind = mail.Held, mail.KindHeld
	o.Reason, o.Next = reason, until
}

// again defers a delivery, or gives it up when its time is over. The last try
// comes at the end of that time, not up to two hours before.
func (j *judge) again(o *mail.Outcome, d mail.Delivery, a mail.Attempt) {
	o.Status, o.Kind = mail.Deferred, mail.KindDeferred
	left := j.expire - o.Waited
	asked, _ := a.Reply.RetryAfter()
	switch wait := delay(d.Attempts+1, asked, j.random()); {
	case j.stopped:
		o.Next = j.now
	case left <= 0:
		o.Status, o.Kind = mail.Failed, mail.KindFailed
		o.Text = j.record(d, a, "given up after "+j.expire.String())
	default:
		o.Next = j.now.Add(min(wait, left))
	}
}

// waited returns how long a delivery has waited, not counting holds. Each step
// counts as long as was planned for it and lateMost: a clock that is set, or a
// program that did not run, expires no mail that was not tried meanwhile.
func (j *judge) waited(d mail.Delivery) time.Duration {
	since := d.WaitedTo
	if since.IsZero() {
		since = j.message.Received
	}
	planned := max(0, min(d.NextAttempt.Sub(since), longestDelay))
	return d.Waited + max(0, min(j.now.Sub(since), planned+lateMost))
}

// said returns the words of a try: the reply, else the cause.
func said(a mail.Attempt) string {
	switch {
	case !a.Reply.IsZero():
		return a.Reply.String()
	case a.Err != nil:
		return mail.Escape(a.Err.Error())
	}
	return ""
}

// record is what a sender needs to know of a delivery that failed: why, what
// was tried, and the fields of a delivery status notice (RFC 3464 section 2.3).
func (j *judge) record(d mail.Delivery, a mail.Attempt, why string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d tries through %s from %s to %s\n", why, d.Attempts+1, d.Provider,
		j.message.Received.UTC().Format(time.RFC3339), j.now.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "Final-Recipient: rfc822; %s\n", mail.Escape(d.Recipient))
	b.WriteString("Action: failed\n")
	fmt.Fprintf(&b, "Status: %s\n", statusCode(a))
	if text := said(a); !a.Reply.IsZero() {
		fmt.Fprintf(&b, "Diagnostic-Code: smtp; %s", strings.ReplaceAll(text, "\n", "\n "))
	} else if text != "" {
		fmt.Fprintf(&b, "Diagnostic-Code: x-backstamp; %s", text)
	} else if d.Reply != "" {
		fmt.Fprintf(&b, "Diagnostic-Code: smtp; %s", strings.ReplaceAll(d.Reply, "\n", "\n "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// statusCode returns the enhanced status code of a failure (RFC 3463): the
// reply's own, else expired for what was given up and undefined for the rest.
func statusCode(a mail.Attempt) string {
	switch code := a.Reply.Enhanced(); {
	case code != "" && a.Reply.Permanent():
		return code
	case final(a):
		return "5.0.0"
	}
	return "4.4.7"
}

// unanswered explains a try that got no reply, for clients that do not say
// more themselves.
func unanswered(err error) *mail.Explain {
	return &mail.Explain{ID: "queue.no-reply", Class: mail.ClassTemporary, Detail: mail.Escape(err.Error())}
}

// crash is the try of a message that could not be made ready or stopped us.
func crash(err error, uncertain bool) mail.Attempt {
	return mail.Attempt{Err: err, Uncertain: uncertain, Explain: &mail.Explain{
		ID: "queue.crash", Class: mail.ClassTemporary, Detail: mail.Escape(err.Error()),
	}}
}

// dropped explains a delivery that the operator gave up.
func dropped() *mail.Explain { return &mail.Explain{ID: "queue.dropped", Class: mail.ClassTemporary} }

// moved explains a delivery that the operator gave to another provider.
func moved(from, to string) *mail.Explain {
	return &mail.Explain{ID: "queue.moved", Class: mail.ClassTemporary, Detail: fmt.Sprintf("from %s to %s", from, to)}
}

// failedOver explains a delivery that another provider has to take.
func failedOver(from, to string) *mail.Explain {
	return &mail.Explain{ID: "queue.failover", Class: mail.ClassTemporary, Detail: fmt.Sprintf("from %s to %s", from, to)}
}

// deadly explains a hold of a message that ended the program.
func deadly() *mail.Explain {
	return &mail.Explain{ID: "queue.deadly", Class: mail.ClassContent, Detail: fmt.Sprintf("%d times", mostCrash)}
}

// waits explains a hold that came without a try of its own.
func waits(reason, detail string) *mail.Explain {
	x := &mail.Explain{ID: "queue." + reason, Detail: detail}
	switch reason {
	case mail.HoldAuth:
		x.ID, x.Class = "queue.parked", mail.ClassAuth
	case mail.HoldQuota:
		x.Class = mail.ClassQuota
	case mail.HoldOperator:
		x.Class = mail.ClassTemporary
	case mail.HoldProviderGone:
		x.Class = mail.ClassAccount
	case mail.HoldDamaged:
		x.Class = mail.ClassContent
	}
	return x
}
