package rewrite

// Explain returns what a Reason, a Link or a Note constant means and what to
// do about it, in a sentence or two for people, in Korean where lang is ko and in
// English otherwise; "" for any other word. docs/reasons.md says more.
func Explain(word, lang string) string {
	words := explanations[word]
	if lang == "ko" {
		return words.ko
	}
	return words.en
}

// Meanings returns what Explain says of each reason and note of the plan, by
// word.
func (p *Plan) Meanings(lang string) map[string]string {
	m := map[string]string{}
	add := func(word string) {
		if text := Explain(word, lang); text != "" {
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

var explanations = map[string]struct{ en, ko string }{
	ReasonOff: {"Tracking is switched off: see tracking.opens and tracking.clicks, or tracking of the client.",
		"추적이 꺼져 있습니다. tracking.opens와 tracking.clicks, 또는 클라이언트의 tracking을 보세요."},
	ReasonControl: {"The app asked for it in a header field, such as X-Track: off.",
		"앱이 X-Track: off 같은 헤더 필드로 그렇게 요청했습니다."},
	ReasonPrivacy: {"The privacy mode is off: see tracking.privacy.",
		"개인정보 모드가 off입니다. tracking.privacy를 보세요."},
	ReasonNoBaseURL: {"Readers elsewhere could not open links to this machine. Set tracking.base_url to the public address of the tracking listener.",
		"다른 곳의 독자는 이 컴퓨터로 가는 링크를 열 수 없습니다. tracking.base_url에 추적 리스너의 공개 주소를 적으세요."},
	ReasonNullSender: {"It is a notice (its MAIL FROM is empty); those are never tracked.",
		"알림 메일(MAIL FROM이 비어 있음)은 추적하지 않습니다."},

	ReasonRewritten: {"It went through Backstamp before and has its tracking links.",
		"이미 Backstamp를 거쳐 추적 링크가 들어 있습니다."},
	ReasonNoHTML: {"It has no HTML part, and plain text is never changed. Send HTML to have it tracked.",
		"HTML 부분이 없고, 일반 텍스트는 바꾸지 않습니다. 추적하려면 HTML로 보내세요."},
	ReasonNothing: {"Every link in its HTML was left alone, and opens are off. See the reasons of the links.",
		"HTML의 모든 링크를 그대로 두었고 열람 추적은 꺼져 있습니다. 링크마다 적힌 이유를 보세요."},
	ReasonSigned: {"An edit would break its signature. Sign behind Backstamp (DKIM is signed anew), or do without tracking.",
		"고치면 서명이 깨집니다. Backstamp 뒤에서 서명하거나(DKIM은 새로 서명합니다) 추적 없이 보내세요."},
	ReasonEncrypted: {"It is encrypted and cannot be read.",
		"암호화되어 있어 읽을 수 없습니다."},
	ReasonReport: {"It is a delivery report or a receipt, which software reads.",
		"소프트웨어가 읽는 배달 보고서나 수신 확인입니다."},
	ReasonAttachment: {"Its only HTML is an attachment, and those stay as they were sent. Send the HTML as the text to have it tracked.",
		"HTML이 첨부 파일뿐인데, 첨부는 보낸 그대로 둡니다. 추적하려면 HTML을 본문으로 보내세요."},
	ReasonForwarded: {"Its only HTML lies in an attached message, which is somebody else's.",
		"HTML이 첨부된 다른 메시지 안에만 있는데, 그것은 남의 메시지입니다."},
	ReasonHeaderBroken: {"It has a header that software reads in different ways: a line that is no field, or a field twice. Mend the app.",
		"필드가 아닌 줄이나 두 번 나온 필드 때문에 헤더를 소프트웨어마다 다르게 읽습니다. 앱을 고치세요."},
	ReasonMIMEBroken: {"It has a multipart without boundary lines, so nobody knows where its parts begin. Mend the app.",
		"멀티파트에 경계 줄이 없어 각 부분이 어디서 시작하는지 알 수 없습니다. 앱을 고치세요."},
	ReasonMIMELimits: {"It is nested deeper than 50, has more than 10,000 parts, or a header over 1 MiB. Mend the app.",
		"50단계보다 깊거나, 부분이 10,000개를 넘거나, 헤더가 1 MiB를 넘습니다. 앱을 고치세요."},
	ReasonEncodingUnknown: {"Its HTML has a Content-Transfer-Encoding that nobody knows. Use base64, quoted-printable, 8bit or 7bit.",
		"HTML의 Content-Transfer-Encoding을 알 수 없습니다. base64, quoted-printable, 8bit, 7bit 가운데 하나를 쓰세요."},
	ReasonEncodingBroken: {"Its HTML is base64 or quoted-printable that does not decode without loss. Mend the app.",
		"HTML의 base64나 quoted-printable을 손실 없이 풀 수 없습니다. 앱을 고치세요."},
	ReasonCharsetUnknown: {"Its HTML is in a charset that is not known to be safe. Send UTF-8.",
		"HTML의 문자 집합이 안전하다고 알려져 있지 않습니다. UTF-8로 보내세요."},
	ReasonCharsetWide: {"Its HTML is in UTF-16, UTF-32 or UTF-7, where tags are not written in ASCII. Send UTF-8.",
		"HTML이 태그를 ASCII로 적지 않는 UTF-16, UTF-32, UTF-7입니다. UTF-8로 보내세요."},
	ReasonCharsetBroken: {"Its HTML shifts to another character set and does not shift back on that line. Mend the app, or send UTF-8.",
		"HTML이 다른 문자 집합으로 바뀐 뒤 그 줄에서 돌아오지 않습니다. 앱을 고치거나 UTF-8로 보내세요."},
	ReasonHTMLLimits: {"Its HTML is too large, too deep, or has too many links or attributes. Mend the app; the limits are in docs/reasons.md.",
		"HTML이 너무 크거나 깊거나, 링크나 속성이 너무 많습니다. 앱을 고치세요. 한도는 docs/reasons.md에 있습니다."},
	ReasonInternal: {"A fault of Backstamp. Please report it with the message.",
		"Backstamp의 결함입니다. 이 메시지와 함께 알려 주세요."},

	NoteClip: {"With its tracking links the HTML is longer than 102 KiB, where Gmail cuts it and hides the rest, the pixel at its end included. Set tracking.pixel to top, or shorten the message.",
		"추적 링크 때문에 HTML이 102 KiB를 넘습니다. Gmail은 거기서 잘라 맨 끝의 픽셀까지 숨깁니다. tracking.pixel을 top으로 하거나 메시지를 줄이세요."},

	LinkScheme: {"It is no web address (http or https).",
		"웹 주소(http나 https)가 아닙니다."},
	LinkFragment: {"It leads to a place in the message itself.",
		"메시지 안의 다른 곳으로 갑니다."},
	LinkEmpty: {"It has no address. Mend the template.",
		"주소가 없습니다. 템플릿을 고치세요."},
	LinkRelative: {"Its address is not whole. Write it with https:// to have it tracked.",
		"주소가 온전하지 않습니다. 추적하려면 https://부터 적으세요."},
	LinkPlaceholder: {"A placeholder of a template is still in it. Fill it in before sending, unless the provider does.",
		"템플릿의 자리표시자가 남아 있습니다. 제공자가 채우지 않는다면 보내기 전에 채우세요."},
	LinkUnsubscribe: {"It ends a subscription; that is nobody else's business.",
		"구독을 끝내는 링크이며, 다른 누구도 상관할 일이 아닙니다."},
	LinkOneTime: {"It works once or is a key, such as a password reset; a scanner that followed it would burn it.",
		"비밀번호 재설정처럼 한 번만 쓰이거나 열쇠가 되는 링크라, 스캐너가 먼저 열면 못 쓰게 됩니다."},
	LinkOurs: {"It is a tracking link already.",
		"이미 추적 링크입니다."},
	LinkDomain: {"Its host is in tracking.exclude.domains.",
		"호스트가 tracking.exclude.domains에 있습니다."},
	LinkSelector: {"tracking.exclude.selectors matches it, or what holds it.",
		"이 링크나 이것을 담은 요소가 tracking.exclude.selectors에 맞습니다."},
	LinkPattern: {"tracking.exclude.patterns matches its address.",
		"주소가 tracking.exclude.patterns에 맞습니다."},
	LinkOptOut: {"An attribute on it, or on what holds it, says so, such as data-track=\"false\".",
		"이 링크나 이것을 담은 요소에 data-track=\"false\" 같은 속성이 있습니다."},
	LinkTooLong: {"Its tracking URL would be longer than tracking.max_url.",
		"추적 URL이 tracking.max_url보다 길어집니다."},
	LinkCharset: {"Its address has letters outside ASCII, which readers encode in different ways. Encode them in the address, or send UTF-8.",
		"주소에 ASCII가 아닌 글자가 있고, 독자의 프로그램마다 다르게 부호화합니다. 주소에서 부호화하거나 UTF-8로 보내세요."},
	LinkControl: {"Its address holds a control character. Mend the app.",
		"주소에 제어 문자가 있습니다. 앱을 고치세요."},
	LinkBroken: {"Its address has no host that a browser accepts. Mend the address.",
		"주소에 브라우저가 받아들이는 호스트가 없습니다. 주소를 고치세요."},
	LinkClicksOff: {"Click tracking is off for this message.",
		"이 메시지는 클릭 추적이 꺼져 있습니다."},
}
