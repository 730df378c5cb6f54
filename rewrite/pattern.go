package rewrite

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A pattern is a regular expression with the words of which a text must hold
// one, in lower case, to match at all: looking for them costs a hundredth.
type pattern struct {
	words []string
	re    *regexp.Regexp
}

// match reports whether text matches; lower is text in lower case.
func (p pattern) match(text, lower string) bool {
	return slices.ContainsFunc(p.words, func(w string) bool { return strings.Contains(lower, w) }) && p.re.MatchString(text)
}

// isPlaceholder reports what a template engine left in: the URL is not one yet
// or is the provider's to fill in. Single braces and brackets occur in URLs.
func isPlaceholder(href string) bool {
	if !strings.ContainsAny(href, "{}%<*|[]#-") {
		return false
	}
	for _, mark := range []string{
		"{{", "}}", "{%", "%}", "{$", "${", "#{", "<%", "%>", "<?", "*|", "|*", "[[", "]]", "[%", "%5B%5B", "%7B%7B", "%recipient", "##",
	} {
		if strings.Contains(href, mark) {
			return true
		}
	}
	return (strings.Contains(href, "%%") || strings.ContainsAny(href[:1], "%[-")) && wordPlaceholder.MatchString(href)
}

// wordPlaceholder matches %%name%%, and %name%, [name] and -name- as the whole
// address.
var wordPlaceholder = regexp.MustCompile(`%%[A-Za-z_][\w.: -]*%%|^%[A-Za-z_][\w.-]*%|^\[[A-Za-z_][\w.-]*\]$|^-[A-Za-z_]\w*-$`)

// unsubscribeURL and unsubscribeLabel know links that end a subscription: a
// scanner that follows them through us must never count as a click, and the
// reader's wish is nobody's business.
var (
	unsubscribeURL = pattern{
		[]string{"unsub", "opt", "remove", "suscri", "sinscri", "abmeld", "abbestell"},
		regexp.MustCompile(`(?i)unsubscri|[/?&=._-]unsub(?:[/?&=._-]|$)|\bopt[-_]?out|list[-_]?remove|desuscri|desinscri|abmelden|abbestell`),
	}
	unsubscribeLabel = pattern{
		[]string{"subscri", "opt", "수신", "구독", "配信", "購読", "退", "取消", "abmeld", "abbestell", "sabonner", "sinscri", "baja", "suscri",
			"descadastr", "отписат", "disiscri", "afmeld", "avregistr", "tilau"},
		regexp.MustCompile(`(?i)unsubscri|\bopt[ -]?out\b|manage (?:your )?subscription|수신\s*(?:거부|해지)|수신을?\s*(?:원|희망)|구독\s*(?:취소|해지)|配信(?:停止|解除)|購読(?:停止|解除)|` +
			`退订|退訂|取消订阅|取消訂閱|abmelden|abbestellen|d[ée]sabonner|d[ée]sinscri|darse de baja|cancelar (?:la |a )?su(?:scripci|bscri)|` +
			`descadastr|отписат|disiscri|afmelden|avregistrer|peru(?:uta)? tilaus`),
	}
)

// isVague reports a label that means what the text around it says.
func isVague(label string) bool {
	label = strings.ToLower(strings.TrimFunc(label, func(r rune) bool { return !unicode.IsLetter(r) }))
	for _, verb := range []string{"click ", "tap ", "press "} {
		label = strings.TrimPrefix(label, verb)
	}
	return slices.Contains([]string{
		"here", "this link", "link", "여기", "여기를 클릭", "클릭", "이곳", "이 링크", "こちら", "ここ", "点击这里", "点击此处", "這裡",
		"hier", "ici", "cliquez ici", "aquí", "aqui", "qui", "clicca qui", "тут", "здесь",
	}, label)
}

// oneTime knows URLs that work once: a scanner's or a prefetcher's visit would
// burn them, and a password reset belongs to nobody's log. First the shapes of
// WordPress, Rails (Devise), Laravel, Keycloak, Auth0, Firebase and Supabase,
// then the common one: a word for it with a long secret behind it.
var oneTime = pattern{
	[]string{"wp-", "reset", "verif", "confirm", "activat", "magic", "sign", "login", "log-in", "invit", "otp", "time", "passw",
		"unlock", "token", "ticket", "oobcode"},
	regexp.MustCompile(`(?i)` + strings.Join([]string{
		`wp-login\.php\?(?:[^#]*&)?(?:action=(?:rp|resetpass|confirmaction|confirm_admin_email|postpass)|key=)`,
		`wp-activate\.php\?`,
		`[?&](?:reset_password|confirmation|unlock|invitation|perishable|magic_link|password_reset|email_verification|activation)_(?:token|code|key)=`,
		`/(?:password/reset|reset-password|reset_password)/[\w.~-]{16,}`,
		`/(?:email/)?verify(?:-email)?/[^?#]+\?(?:[^#]*&)?signature=`,
		`[?&]expires=\d+&signature=[0-9a-f]{32,}`,
		`/login-actions/action-token\?`,
		`/(?:u|lo)/(?:reset|reset-verify|email-verification)[?/]`,
		`/passwordless/verify_redirect\?`,
		`[?&]ticket=[\w-]{16,}`,
		`[?&]oobCode=`,
		`/auth/v1/verify\?`,
		`(?:password|passwd|reset|verif|confirm|activat|magic|sign-?in|log-?in|one-?time|otp|invit)[^#]*[?&](?:token|key|code|otp|hash|t|k|secret|signature)=[\w.~%+/=-]{16,}`,
		`/(?:password|reset|verify|verification|confirm|confirmation|activate|activation|magic|magic-link|magic_link|invite|invitation|otp)/(?:[\w-]+/){0,2}[\w~.-]{24,}/?(?:[?#]|$)`,
	}, "|")),
}

// djangoReset is the shape of Django's password reset, which has no word in it
// that is sure to be there: the user's number, then a time and a hash.
var djangoReset = regexp.MustCompile(`/[\w-]+/[0-9a-z]{1,13}-[0-9a-f]{20,64}/?(?:[?#]|$)`)

// isOneTime reports a URL that works once; lower is href in lower case.
func isOneTime(href, lower string) bool {
	return oneTime.match(href, lower) || hasLongHash(href) && djangoReset.MatchString(href)
}

// hasLongHash reports a hyphen with at least 20 hexadecimal digits behind it.
func hasLongHash(s string) bool {
	run := -1
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			run = 0
		case run >= 0 && unhex(s[i]) < 16:
			if run++; run >= 20 {
				return true
			}
		default:
			run = -1
		}
	}
	return false
}
