// Package quirk knows what old clients do that no standard has, by name, and
// how the header of their mail is set right. It is pure: no clock, no network.
//
// A quirk is noted with the message, for an administrator to see which box to
// mend. Its name never changes its meaning.
package quirk

// The quirks. The strings are API.
const (
	BareLF = "bare-lf"
	LFDot  = "lf-dot"
	BareCR = "bare-cr"
	NUL    = "nul"

	PathNaked   = "path-without-brackets"
	PathSpace   = "path-space"
	PathName    = "path-name"
	NoDomain    = "address-without-domain"
	Syntax      = "address-syntax"
	Parameter   = "unknown-parameter"
	LocalDomain = "local-domain"

	HeloEmpty     = "helo-empty"
	HeloName      = "helo-name"
	NoHelo        = "no-helo"
	Pipelined     = "pipelined"
	AuthLogin     = "auth-login"
	AuthAfterHelo = "auth-after-helo"
	OldTLS        = "old-tls"
	NoTLS         = "no-tls"

	NoDate        = "no-date"
	NoMessageID   = "no-message-id"
	NoFrom        = "no-from"
	Bcc           = "bcc"
	RawHeader     = "raw-header"
	NoCharset     = "no-charset"
	WrongCharset  = "wrong-charset"
	CharsetAlias  = "charset-alias"
	WrongEncoding = "wrong-encoding"
	LongLine      = "long-line"
)

// Explain returns what a quirk is and what Backstamp does about it, for people,
// in Korean where lang is ko and in English otherwise; "" for any other word.
func Explain(name, lang string) string {
	words := explanations[name]
	if lang == "ko" {
		return words.ko
	}
	return words.en
}

var explanations = map[string]struct{ en, ko string }{
	BareLF: {"Lines end in LF instead of CRLF; they were set right.",
		"줄 끝이 CRLF가 아니라 LF여서 바로잡았습니다."},
	LFDot: {"It ends its messages in LF . LF, which ends none: they were refused, since others could take what follows for commands. Have it send CRLF, or hand its mail to sendmail.",
		"메일을 LF . LF로 끝내는데 이는 메일의 끝이 아니어서 거부했습니다. 그렇게 끝내면 뒤에 오는 내용이 명령으로 읽힐 수 있습니다. CRLF를 보내게 하거나 sendmail로 넘기세요."},
	BareCR: {"A CR stands where no line ends, or two before LF; the line ends were set right.",
		"줄 끝이 아닌 곳에 CR이 있거나 LF 앞에 CR이 둘이어서 줄 끝을 바로잡았습니다."},
	NUL: {"The message had NUL bytes, which no mail may have; they were removed.",
		"메일에 있어서는 안 되는 NUL 바이트가 있어 지웠습니다."},

	PathNaked: {"An address in MAIL or RCPT has no angle brackets; it was read as if it had.",
		"MAIL이나 RCPT의 주소에 꺾쇠괄호가 없어 있는 것으로 읽었습니다."},
	PathSpace: {"There are blanks round the colon in MAIL or RCPT; they were passed over.",
		"MAIL이나 RCPT의 쌍점 앞뒤에 빈칸이 있어 건너뛰었습니다."},
	PathName: {"A name stands before the address in MAIL or RCPT; it was dropped.",
		"MAIL이나 RCPT의 주소 앞에 이름이 있어 뺐습니다."},
	NoDomain: {"An address has no domain; it got default_domain.",
		"주소에 도메인이 없어 default_domain을 붙였습니다."},
	Syntax: {"A local part has dots where none may be; it was put in quotes.",
		"주소의 @ 앞부분에 점이 잘못 놓여 있어 따옴표로 묶었습니다."},
	Parameter: {"MAIL or RCPT has a parameter that was not offered; it was ignored.",
		"MAIL이나 RCPT에 제공하지 않은 매개변수가 있어 무시했습니다."},
	LocalDomain: {"MAIL FROM has a domain that only this network knows, such as localhost; give the app a real sender.",
		"MAIL FROM의 도메인이 localhost처럼 이 네트워크에서만 통합니다. 앱에 실제 발신 주소를 설정하세요."},

	HeloEmpty: {"HELO came without a name.",
		"HELO에 이름이 없습니다."},
	HeloName: {"HELO came with what is no host name, such as a bare IP address or one with a blank or underscore.",
		"HELO에 호스트 이름이 아닌 것이 왔습니다. 괄호 없는 IP 주소나 빈칸, 밑줄이 든 이름 등입니다."},
	NoHelo: {"Mail came without HELO or EHLO before it.",
		"HELO나 EHLO 없이 메일이 왔습니다."},
	Pipelined: {"Commands came before the answers to those before them, though the client had not asked with EHLO whether it may.",
		"EHLO로 확인하지 않고 응답을 기다리지 않은 채 명령을 이어 보냈습니다."},
	AuthLogin: {"It logs in with AUTH LOGIN, which no standard has; AUTH PLAIN is better where it can be chosen.",
		"표준이 아닌 AUTH LOGIN으로 로그인합니다. 고를 수 있다면 AUTH PLAIN이 낫습니다."},
	AuthAfterHelo: {"It logs in after HELO; AUTH belongs after EHLO.",
		"HELO 다음에 로그인합니다. AUTH는 EHLO 다음에 와야 합니다."},
	OldTLS: {"It speaks TLS 1.0 or 1.1, which are broken; keep it in a network of its own.",
		"안전하지 않은 TLS 1.0이나 1.1을 씁니다. 별도 네트워크에 두세요."},
	NoTLS: {"It came from another machine without TLS, readable on the network.",
		"다른 기기에서 TLS 없이 와서 네트워크에서 읽힐 수 있습니다."},

	NoDate: {"The message had no Date; the time of its arrival was added.",
		"Date 필드가 없어 받은 시각을 넣었습니다."},
	NoMessageID: {"The message had no Message-ID; one was added.",
		"Message-ID가 없어 새로 넣었습니다."},
	NoFrom: {"The message had no From; the default was added.",
		"From이 없어 기본 주소를 넣었습니다."},
	Bcc: {"The header held Bcc, which would have shown hidden recipients; it was removed.",
		"숨은 참조가 드러나는 Bcc 필드가 있어 지웠습니다."},
	RawHeader: {"Header fields had letters outside ASCII as they are; they were encoded (RFC 2047). Where they are wrong, set charset of the client.",
		"헤더에 ASCII가 아닌 글자가 그대로 있어 부호화했습니다(RFC 2047). 글자가 틀리면 그 클라이언트의 charset을 설정하세요."},
	NoCharset: {"The text has letters outside ASCII and no charset, or us-ascii, which has none; a guess was written into Content-Type. Where it is wrong, set charset of the client.",
		"본문에 ASCII가 아닌 글자가 있는데 charset이 없거나 us-ascii여서 추정해 적었습니다. 글자가 틀리면 그 클라이언트의 charset을 설정하세요."},
	WrongCharset: {"The text is not in the charset that its Content-Type names; both stay as they are.",
		"본문이 Content-Type에 적힌 charset이 아닙니다. 둘 다 그대로 두었습니다."},
	CharsetAlias: {"The charset has a name that not all software knows, or EUC-KR text has letters that only CP949 has; both stay as they are.",
		"charset 이름이 모든 프로그램에서 통하지는 않거나, EUC-KR 본문에 CP949에만 있는 글자가 있습니다. 둘 다 그대로 두었습니다."},
	WrongEncoding: {"The text is not in the Content-Transfer-Encoding that it names. Raw 8-bit text says 8bit now; anything else stays as it is.",
		"본문이 Content-Transfer-Encoding에 적힌 부호화가 아닙니다. 8비트 그대로인 본문은 8bit로 고쳤고, 나머지는 그대로 두었습니다."},
	LongLine: {"A line is longer than the 998 octets that SMTP carries; it was folded, or its part was encoded anew, unless that is signed or encrypted.",
		"SMTP가 나르는 998바이트보다 긴 줄이 있어 접거나 그 부분을 다시 부호화했습니다. 서명하거나 암호화한 부분은 그대로 두었습니다."},
}
