package rewrite

// Explain returns what a Reason, a Link or a Note constant means and what to
// do about it, in a sentence or two for people; "" for any other word.
// docs/reasons.md says more.
func Explain(word string) string { return explanations[word] }

// Meanings returns what Explain says of each reason and note of the plan, by
// word.
func (p *Plan) Meanings() map[string]string {
	m := map[string]string{}
	add := func(word string) {
		if text := Explain(word); text != "" {
			m[word] = text
		}
	}
	add(p.reason)
	for _, note := range p.notes {
		add(note)
	}
	for _, l := range p.links {
		add(l.Reason)
	}
	return m
}

var explanations = map[string]string{
	ReasonOff:        "Tracking is switched off: see tracking.opens and tracking.clicks, or tracking of the client.",
	ReasonControl:    "The app asked for it in a header field, such as X-Track: off.",
	ReasonPrivacy:    "The privacy mode is off: see tracking.privacy.",
	ReasonNoBaseURL:  "Readers elsewhere could not open links to this machine. Set tracking.base_url to the public address of the tracking listener.",
	ReasonNullSender: "It is a notice (its MAIL FROM is empty); those are never tracked.",

	ReasonRewritten:       "It went through Backstamp before and has its tracking links.",
	ReasonNoHTML:          "It has no HTML part, and plain text is never changed. Send HTML to have it tracked.",
	ReasonNothing:         "Every link in its HTML was left alone, and opens are off. See the reasons of the links.",
	ReasonSigned:          "An edit would break its signature. Sign behind Backstamp (DKIM is signed anew), or do without tracking.",
	ReasonEncrypted:       "It is encrypted and cannot be read.",
	ReasonReport:          "It is a delivery report or a receipt, which software reads.",
	ReasonAttachment:      "Its only HTML is an attachment, and those stay as they were sent. Send the HTML as the text to have it tracked.",
	ReasonForwarded:       "Its only HTML lies in an attached message, which is somebody else's.",
	ReasonHeaderBroken:    "It has a header that software reads in different ways: a line that is no field, or a field twice. Mend the app.",
	ReasonMIMEBroken:      "It has a multipart without boundary lines, so nobody knows where its parts begin. Mend the app.",
	ReasonMIMELimits:      "It is nested deeper than 50, has more than 10,000 parts, or a header over 1 MiB. Mend the app.",
	ReasonEncodingUnknown: "Its HTML has a Content-Transfer-Encoding that nobody knows. Use base64, quoted-printable, 8bit or 7bit.",
	ReasonEncodingBroken:  "Its HTML is base64 or quoted-printable that does not decode without loss. Mend the app.",
	ReasonCharsetUnknown:  "Its HTML is in a charset that is not known to be safe. Send UTF-8.",
	ReasonCharsetWide:     "Its HTML is in UTF-16, UTF-32 or UTF-7, where tags are not written in ASCII. Send UTF-8.",
	ReasonCharsetBroken:   "Its HTML shifts to another character set and does not shift back on that line. Mend the app, or send UTF-8.",
	ReasonHTMLLimits:      "Its HTML is too large, too deep, or has too many links or attributes. Mend the app; the limits are in docs/reasons.md.",
	ReasonInternal:        "A fault of Backstamp. Please report it with the message.",

	NoteClip: "With its tracking links the HTML is longer than 102 KiB, where Gmail cuts it and hides the rest, the pixel at its end included. Set tracking.pixel to top, or shorten the message.",

	LinkScheme:      "It is no web address (http or https).",
	LinkFragment:    "It leads to a place in the message itself.",
	LinkEmpty:       "It has no address. Mend the template.",
	LinkRelative:    "Its address is not whole. Write it with https:// to have it tracked.",
	LinkPlaceholder: "A placeholder of a template is still in it. Fill it in before sending, unless the provider does.",
	LinkUnsubscribe: "It ends a subscription; that is nobody else's business.",
	LinkOneTime:     "It works once or is a key, such as a password reset; a scanner that followed it would burn it.",
	LinkOurs:        "It is a tracking link already.",
	LinkDomain:      "Its host is in tracking.exclude.domains.",
	LinkSelector:    "tracking.exclude.selectors matches it, or what holds it.",
	LinkPattern:     "tracking.exclude.patterns matches its address.",
	LinkOptOut:      "An attribute on it, or on what holds it, says so, such as data-track=\"false\".",
	LinkTooLong:     "Its tracking URL would be longer than tracking.max_url.",
	LinkCharset:     "Its address has letters outside ASCII, which readers encode in different ways. Encode them in the address, or send UTF-8.",
	LinkControl:     "Its address holds a control character. Mend the app.",
	LinkBroken:      "Its address has no host that a browser accepts. Mend the address.",
	LinkClicksOff:   "Click tracking is off for this message.",
}
