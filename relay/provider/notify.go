package provider

import (
	"fmt"
	"strings"

	"backstamp/mail"
)

// returning are the parameters of MAIL by which the sender's wishes are handed
// on (RFC 3461 section 5.2.1), where the server knows them.
func (x *exchange) returning() (params string) {
	if !x.offers("DSN") {
		return ""
	}
	if x.t.Ret != "" {
		params = " RET=" + x.t.Ret
	}
	if x.t.EnvID != "" {
		params += " ENVID=" + xtext(x.t.EnvID)
	}
	return params
}

// asking are the parameters of RCPT, likewise. An original address beyond ASCII
// goes to nobody but a server with SMTPUTF8 that is asked for it.
func (x *exchange) asking(recipient int) (params string) {
	if !x.offers("DSN") || x.t.Asked == nil {
		return ""
	}
	asked := x.t.Asked[recipient]
	if asked.Notify != "" {
		params = " NOTIFY=" + string(asked.Notify)
	}
	kind, address, _ := strings.Cut(asked.Original, ";")
	if (mail.Address{Local: "x", Domain: address}).ASCII() && address != "" {
		params += " ORCPT=" + kind + ";" + xtext(address)
	}
	return params
}

// xtext is the encoding of RFC 3461 section 4.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
