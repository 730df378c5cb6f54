package rewrite

import (
	"regexp"
	"strings"
)

// isOneTime reports a URL that works once, or that is a key: a scanner's or a
// prefetcher's visit would burn it, and a password reset belongs to nobody's
// log. found are the words that occur in it.
func isOneTime(href string, found uint64) bool {
	for _, p := range oneTimeShapes {
		if p.match(href, found) {
			return true
		}
	}
	path, query, _ := strings.Cut(href, "?") // a fragment stays where it stands: apps keep paths of their own in it
	return found&secretWords != 0 && hasSecretParam(path, query) || hasSecretSegment(path) || isDjangoReset(path)
}

// oneTimeShapes are URLs of widespread software that say what they are.
var oneTimeShapes = []pattern{
	{ // WordPress
		words: urlWords.set("wp-"),
		re: regexp.MustCompile(`(?i)wp-login\.php\?(?:[^#]*&)?(?:action=(?:rp|resetpass|confirmaction|confirm_admin_email|postpass|enter_recovery_mode)\b|key=)|` +
			`wp-activate\.php\?|wp-admin/[\w.-]+\?(?:[^#]*&)?(?:newuseremail|adminhash)=`),
	},
	{ // URLs signed by Laravel and by Symfony
		words: urlWords.set("expires"),
		re:    regexp.MustCompile(`(?i)[?&]expires=\d+&(?:[^#]*&)?signature=[0-9a-f]{40,}|[?&]user=[^&#]*&expires=\d+&hash=`),
	},
	{words: urlWords.set("action-token"), re: regexp.MustCompile(`(?i)/login-actions/action-token\?`)}, // Keycloak
	{ // Auth0, and CAS
		words: urlWords.set("ticket"),
		re:    regexp.MustCompile(`(?i)[?&]ticket=[\w-]{16,}|/(?:u|lo)/(?:reset|reset-verify|email-verification)[/?]`),
	},
	{words: urlWords.set("oobcode"), re: regexp.MustCompile(`(?i)oobCode(?:=|%3D)`)},         // Firebase
	{words: urlWords.set("id_token_hint"), re: regexp.MustCompile(`(?i)[?&]id_token_hint=`)}, // Azure AD B2C
	{ // Supabase, Auth0, and Korean sites
		words: urlWords.set("auth", "cert", "code"),
		re:    regexp.MustCompile(`(?i)/auth/v1/verify\?|/passwordless/verify_redirect\?|[?&](?:auth_?key|auth_?no|cert_?no|cert_?key)=[^&#]`),
	},
	{words: urlWords.set("mb_"), re: regexp.MustCompile(`(?i)[?&]mb_(?:md5|nonce)=`)},                            // Gnuboard
	{words: urlWords.set("/user/"), re: regexp.MustCompile(`(?i)/user/(?:reset|registrationpassword)/\d+/\d+/`)}, // Drupal
	{words: urlWords.set("z-app-"), re: regexp.MustCompile(`(?i)/z-app-[\w-]{16,}`)},                             // Slack
	{words: urlWords.set("data="), re: regexp.MustCompile(`(?i)/login/confirm\.php\?data=`)},                     // Moodle
}

// secretWords occur in the names of parameters that hold a secret.
var secretWords = urlWords.set("token", "key", "code", "otp", "hash", "secret", "signature", "sig=", "nonce", "jwt", "sid=", "?t=", "&t=", "?k=", "&k=")

// purpose is what says, in a path or a query, that a secret goes with it even
// if that is short: a password is reset, an address confirmed, an account
// activated, somebody let in without a password.
var purpose = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`(?:reset|forgot|forgotten|recover|lost|change|set|new|create|update|choose|find)[-_./]?(?:your[-_])?(?:password|passwd|passwort|pwd?|pass)(?:[^a-z]|$)`,
	`(?:password|passwd|pwd?|pass)[-_./]?(?:reset|recover|forgot|lost|change|find|edit|new|set|init)`,
	`(?:verify|verification|confirm|confirmation|validate|activate|activation|certify|auth|unlock)[-_./]?(?:your[-_])?(?:e-?mail|mail|account|user|address|registration|sign-?up)`,
	`(?:e-?mail|mail|account|user|registration|sign-?up|password_lost)[-_./]?(?:verif|confirm|validat|activat|certify|cert|auth|unlock)`,
	`/(?:activate|activation|verify|verification|confirm|confirmation|certify|unlock|reset)(?:\.\w{2,5})?/?(?:[?#]|$)`,
	`magic[-_]?(?:link|login|sign-?in)|/magic(?:[/?#]|$)|(?:log|sign)[-_]?in[-_]?(?:link|with[-_]?e-?mail)|e-?mail[-_]?(?:log|sign)[-_]?in|one-?time[-_]?(?:login|link|password)|passwordless`,
	`accept[-_]?invit|invit\w*/accept|reset/(?:finish|confirm|form)|registration\.activate|view=reset`,
}, "|"))

// entry is a wider purpose: the secret with it must look like one.
var entry = regexp.MustCompile(`(?i)passw|pwd|reset|verif|confirm|activat|magic|(?:sign|log)[-_]?(?:in|up)|one-?time|\botp\b|invit|unlock|/auth|/join|regist|welcome`)

// hasSecretParam reports a query with a secret that path or query have a
// purpose for.
func hasSecretParam(path, query string) bool {
	short, long := false, false // a secret, one that looks like it
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == '?' || r == '#' || r == ';' }) {
		if name, value, _ := strings.Cut(pair, "="); len(value) >= 3 && secretName.MatchString(name) {
			short, long = true, long || isSecret(value)
		}
	}
	return long && (entry.MatchString(path) || entry.MatchString(query)) || short && (purpose.MatchString(path) || purpose.MatchString(query))
}

// secretName knows the names of parameters that hold a secret: token, authKey,
// confirmation_code, user[token]. A promo_code or a zipcode is none.
var secretName = regexp.MustCompile(`(?i)^(?:(?:reset|password|passwd|pwd|pass|activat(?:ion|e)|verif(?:ication|y)|confirm(?:ation)?|auth|access|login|sign_?in|magic|e?mail|cert|` +
	`invit(?:ation|e)|unlock|account|user|member|one_?time|security|secret|perishable|link|temp|session|request|recovery|registration|signup|rm)(?:%5B|[_.[-])?){0,3}` +
	`(?:token|key|code|otp|hash|secret|signature|sig|nonce|jwt)(?:%5D|\])?$|^(?:t|k|sid)$`)

// entrySegment matches the path before a secret: at most two segments back
// stands what it is for.
var entrySegment = regexp.MustCompile(`(?i)/(?:(?:verify|verification|confirm|confirmation|confirm[-_]verification|activate|activation|certify|validate|unlock|welcome|magic|otp|` +
	`reset|passwords?|passwordless|log-?in|sign[-_]?in|invite|invites|invitation|invitations|tokens|auth|set-?up)|` +
	`[\w.-]*(?:passw|pwd|activat|verify|e?mail[-_]?(?:verif|confirm|login)|confirm[-_](?:new-|old-|admin|e?mail|account|token)|magic[-_]?l|login[-_]link|email[-_]login|accept[-_]inv)[\w.-]*)/(?:[^/?#]+/){0,2}$`)

// hasSecretSegment reports a path that holds a secret behind what it is for.
func hasSecretSegment(path string) bool {
	var slashes [3]int // before the last three segments
	for at := 0; at < len(path); {
		n := strings.IndexByte(path[at:], '/')
		if n < 0 {
			n = len(path) - at
		}
		if isSecret(path[at:at+n]) && entrySegment.MatchString(path[slashes[0]:at]) {
			return true
		}
		slashes = [3]int{slashes[1], slashes[2], max(at-1, 0)}
		at += n + 1
	}
	return false
}

// isSecret tells random text from words and numbers joined to a name: letters
// small and capital and digits take turns in it, or it is long.
func isSecret(s string) bool {
	const shortest = 16
	if len(s) < shortest {
		return false
	}
	changes, run, last := 0, 0, byte(0)
	for i := 0; i < len(s); i++ {
		kind := kindOfByte(s[i])
		switch {
		case s[i] == '%': // a character, encoded
			i += 2
			run = 0
		case kind == 0:
			run = 0
		default:
			if run++; kind != last && run > 1 && (run > 2 || kind != 'a' || last != 'A') { // a Word may begin with a capital
				changes++
			}
		}
		if last = kind; changes >= 4 || run >= 20 && changes > 0 || run >= 24 {
			return true
		}
	}
	return false
}

// kindOfByte tells small letters, capitals and digits apart; 0 is none of them.
func kindOfByte(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return 'a'
	case 'A' <= c && c <= 'Z':
		return 'A'
	case '0' <= c && c <= '9':
		return '0'
	}
	return 0
}

// djangoReset is the shape of Django's links, which have no word in them that
// is sure to be there: the user's number in base64, then a time and a hash.
var djangoReset = regexp.MustCompile(`/[MNOYZ][\w-]*/[0-9a-z]{3,7}-[0-9a-f]{20,40}/?$`)

func isDjangoReset(path string) bool {
	i := strings.LastIndexByte(path, '-')
	return i >= 0 && len(path)-i > 20 && len(path)-i <= 42 && djangoReset.MatchString(path)
}
