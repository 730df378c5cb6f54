package rewrite

// Why a message is relayed untouched: the values of Plan.Reason. The strings
// are API; docs/reasons.md explains each. Those of the first group are decided
// by others and come in as Request.Off.
const (
	ReasonOff        = "off"         // tracking is switched off in the configuration
	ReasonControl    = "control"     // a control header of the app says so
	ReasonPrivacy    = "privacy"     // privacy mode off
	ReasonNoBaseURL  = "no-base-url" // nobody outside could follow the links
	ReasonNullSender = "null-sender" // a notice

	ReasonRewritten       = "already-rewritten" // carries a valid X-Backstamp field
	ReasonNoHTML          = "no-html"           // no HTML part to track
	ReasonNothing         = "nothing-to-track"  // HTML, but every link was left and opens are off
	ReasonSigned          = "signed"            // multipart/signed, PGP
	ReasonEncrypted       = "encrypted"         // multipart/encrypted, S/MIME, PGP
	ReasonReport          = "report"            // multipart/report
	ReasonAttachment      = "attachment"        // the HTML is an attachment
	ReasonForwarded       = "attached-message"  // the HTML lies in a message/rfc822
	ReasonHeaderBroken    = "header-broken"     // a header that software reads in different ways
	ReasonMIMEBroken      = "mime-broken"       // no boundary, or none of its lines found
	ReasonMIMELimits      = "mime-limits"       // nested too deep, too many parts, too long a header
	ReasonEncodingUnknown = "encoding-unknown"  // a Content-Transfer-Encoding that nobody knows
	ReasonEncodingBroken  = "encoding-broken"   // does not decode losslessly
	ReasonCharsetUnknown  = "charset-unknown"   // bytes outside ASCII under an unknown label
	ReasonCharsetWide     = "charset-wide"      // UTF-16, UTF-32, UTF-7
	ReasonCharsetBroken   = "charset-broken"    // a shift state that does not end with its line
	ReasonHTMLLimits      = "html-limits"       // too large, too deep, too many tags, attributes or links
	ReasonInternal        = "internal"          // a fault of ours
)

// What one should know about a message that is tracked: the values of
// Plan.Notes.
const (
	NoteClip = "gmail-clip" // an HTML part passes 102 KiB because of what was put in
)

// Why a link is left as it is: the values of mail.Link.Reason.
const (
	LinkScheme      = "scheme"            // neither http nor https
	LinkFragment    = "fragment"          // a place in this document
	LinkEmpty       = "empty"             // no address
	LinkRelative    = "relative"          // no scheme
	LinkPlaceholder = "placeholder"       // a template's placeholder left in
	LinkUnsubscribe = "unsubscribe"       // ends a subscription, or a List-Unsubscribe target
	LinkOneTime     = "one-time"          // password reset, confirmation, magic login
	LinkOurs        = "ours"              // under base_url or a former one
	LinkDomain      = "excluded-domain"   // tracking.exclude.domains
	LinkSelector    = "excluded-selector" // tracking.exclude.selectors
	LinkPattern     = "excluded-pattern"  // tracking.exclude.patterns
	LinkOptOut      = "opt-out"           // data-track="false" and its kin
	LinkTooLong     = "too-long"          // its tracking URL would pass tracking.max_url
	LinkCharset     = "url-charset"       // bytes or entities outside ASCII in a part that is not UTF-8
	LinkControl     = "url-control"       // CR, LF, NUL or another control character
	LinkBroken      = "url-broken"        // http or https without a host
	LinkClicksOff   = "clicks-off"        // click tracking is off for this message
)
