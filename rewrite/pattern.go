package rewrite

import (
	"regexp"
	"strings"
)

// isPlaceholder reports what a template engine left in: the URL is not one yet
// or is the provider's to fill in. Single braces and brackets occur in URLs.
func isPlaceholder(href string) bool {
	for _, mark := range []string{"{{", "}}", "{%", "%}", "{$", "${", "#{", "<%", "%>", "<?", "*|", "|*", "[[", "]]", "[%", "%5B%5B", "%7B%7B", "%recipient", "##"} {
		if strings.Contains(href, mark) {
			return true
		}
	}
	return percentWord.MatchString(href)
}

// percentWord matches %%name%%, and %name% as the whole address.
var percentWord = regexp.MustCompile(`%%[A-Za-z_][\w.: -]*%%|^%[A-Za-z_][\w.-]*%|^\[[A-Za-z_][\w.-]*\]$|^-[A-Za-z_]\w*-$`)

// unsubscribeURL and unsubscribeLabel know links that end a subscription: a
// scanner that follows them through us must never count as a click, and the
// reader's wish is nobody's business.
var (
	unsubscribeURL   = regexp.MustCompile(`(?i)unsubscri|[/?&=._-]unsub(?:[/?&=._-]|$)|opt-?_?out|list-?_?remove|desuscri|desinscri|abmelden|abbestell`)
	unsubscribeLabel = regexp.MustCompile(`(?i)unsubscri|\bopt[ -]?out\b|manage (?:your )?subscription|수신\s*거부|구독\s*(?:취소|해지)|수신\s*해지|配信停止|配信解除|購読解除|購読停止|退订|退訂|取消订阅|取消訂閱|abmelden|abbestellen|d[ée]sabonner|d[ée]sinscri|darse de baja|cancelar (?:la |a )?su(?:scripci[oó]n|bscri)|descadastr|отписат|disiscri|afmelden|avregistrer|peru(?:uta)? tilaus`)
	// vagueLabel matches labels that mean what the text around them says.
	vagueLabel = regexp.MustCompile(`(?i)^\W*(?:(?:click|tap|press)\s+)?(?:here|this link|link|여기|여기를 클릭|클릭|이곳|こちら|ここ|点击这里|点击此处|這裡|hier|ici|aquí|aqui|qui|тут|здесь)\W*$`)
)

// oneTime knows URLs that work once: a scanner's or a prefetcher's visit would
// burn them, and a password reset belongs to nobody's log. Shapes of WordPress,
// Django, Rails (Devise), Laravel, Keycloak, Auth0, Firebase, Supabase, and
// the common form: a word for it in the path with a long secret behind it.
var oneTime = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`wp-login\.php\?(?:[^#]*&)?(?:action=(?:rp|resetpass|confirmaction|confirm_admin_email|postpass)|key=)`,
	`wp-activate\.php\?`,
	`/[\w-]+/[0-9a-z]{1,13}-[0-9a-f]{20,64}/?(?:[?#]|$)`,
	`[?&](?:reset_password|confirmation|unlock|invitation|perishable|magic_link|password_reset|email_verification|activation)_(?:token|code|key)=`,
	`/(?:password/reset|reset-password|reset_password)/[\w.~-]{16,}`,
	`/(?:email/)?verify(?:-email)?/[^?#]+\?(?:[^#]*&)?signature=`,
	`[?&]expires=\d+&signature=[0-9a-f]{32,}`,
	`/login-actions/action-token\?`,
	`/(?:u|lo)/(?:reset|reset-verify|email-verification)[?/]`, `/passwordless/verify_redirect\?`, `/tickets/[^?#]*\?(?:[^#]*&)?ticket=`, `[?&]ticket=[\w-]{16,}`,
	`[?&]oobCode=`, `/auth/v1/verify\?`,
	`(?:password|passwd|reset|verif|confirm|activat|magic|sign-?in|log-?in|one-?time|otp|invit)[^#]*[?&](?:token|key|code|otp|hash|t|k|secret|signature)=[\w.~%+/=-]{16,}`,
	`/(?:password|reset|verify|verification|confirm|confirmation|activate|activation|magic|magic-link|magic_link|invite|invitation|otp)/(?:[\w-]+/){0,2}[\w~.-]{24,}/?(?:[?#]|$)`,
}, "|"))
