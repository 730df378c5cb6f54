package mail

import (
	"strings"
	"testing"
)

func TestMailbox(t *testing.T) {
	for _, tt := range []struct{ value, want, err string }{
		{value: "shop@example.com", want: "shop@example.com"},
		{value: "<shop@example.com>", want: "shop@example.com"},
		{value: " < shop@example.com > ", want: "shop@example.com"},
		{value: "Shop <shop@example.com>", want: "shop@example.com"},
		{value: "Shop<shop@example.com>", want: "shop@example.com"},
		{value: "Shop.com Inc. <shop@example.com>", want: "shop@example.com"},
		{value: `"Shop, Inc." <shop@example.com>`, want: "shop@example.com"},
		{value: `"Joe \"the shop\" Doe" <shop@example.com>`, want: "shop@example.com"},
		{value: `"evil@evil.example" <shop@example.com>`, want: "shop@example.com"},
		{value: `"Shop <sales>" <shop@example.com>`, want: "shop@example.com"},
		{value: "shop@example.com (Shop)", want: "shop@example.com"},
		{value: "(a (nested \\) one)) Shop (b) <shop@example.com> (c)", want: "shop@example.com"},
		{value: "Shop\r\n <shop@example.com>", want: "shop@example.com"},
		{value: "\r\n\t\"Shop\r\n Seoul\"\r\n <shop@example.com>", want: "shop@example.com"},
		{value: "=?utf-8?B?6rCA?= <shop@example.com>", want: "shop@example.com"},
		{value: "\"=?utf-8?B?6rCA?=\" <shop@example.com>", want: "shop@example.com"},
		{value: "\xb0\xa1\xb3\xaa <shop@example.com>", want: "shop@example.com"},
		{value: "\"\xb0\xa1\" <shop@example.com>", want: "shop@example.com"},
		{value: `"local part"@example.com`, want: `"local part"@example.com`},
		{value: `"shop"@example.com`, want: `shop@example.com`},
		{value: `Shop <"local part"@example.com>`, want: `"local part"@example.com`},
		{value: "shop@예시.kr", want: "shop@예시.kr"},
		{value: "가게 <shop@xn--vv4b11d.kr>", want: "shop@xn--vv4b11d.kr"},
		{value: "shop@[192.0.2.1]", want: "shop@[192.0.2.1]"},

		{value: "", err: "no address"},
		{value: " \r\n ", err: "no address"},
		{value: "()", err: "no address"},
		{value: "root", err: "no address"},
		{value: "Shop <root>", err: "malformed"},
		{value: "<>", err: "malformed"},
		{value: "a@example.com, b@example.com", err: "more than one"},
		{value: "<a@example.com>, <b@example.com>", err: "more than one"},
		{value: "<a@example.com>,", err: "more than one"},
		{value: ", a@example.com", err: "more than one"},
		{value: "Shop, Inc. <a@example.com>", err: "more than one"},
		{value: "<a@example.com> <b@example.com>", err: "text after"},
		{value: "<a@example.com>b@example.com", err: "text after"},
		{value: "a@example.com b@example.com", err: "text after"},
		{value: "a@example.com <b@example.com>", err: "text after"},
		{value: "Bob a@example.com", err: "text beside"},
		{value: "group: a@example.com;", err: "group"},
		{value: "undisclosed-recipients:;", err: "group"},
		{value: "a@example.com;", err: "text after"},
		{value: "a@b@example.com", err: "text after"},
		{value: "<a@b@example.com>", err: "malformed"},
		{value: "<<a@example.com>>", err: "malformed"},
		{value: "<a@example.com", err: "malformed"},
		{value: "a@example.com>", err: "text after"},
		{value: "<@evil.example:a@example.com>", err: "malformed"},
		{value: "<@evil.example,@x.example:a@example.com>", err: "malformed"},
		{value: "evil@evil.example (shop@example.com)", err: "inside a comment"},
		{value: "(<evil@evil.example>) shop@example.com", err: "inside a comment"},
		{value: `(\<evil) shop@example.com`, err: "inside a comment"},
		{value: "(open shop@example.com", err: "comment"},
		{value: "(open shop", err: "does not end"},
		{value: `(open \`, err: "does not end"},
		{value: "shop(x)@example.com", err: "malformed"},
		{value: "shop@(x)example.com", err: "malformed"},
		{value: "<shop@example.com(x)>", err: "malformed"},
		{value: "shop @example.com", err: "malformed"},
		{value: "shop@ example.com", err: "malformed"},
		{value: "<shop@exam\r\n ple.com>", err: "malformed"},
		{value: "shop@example\r\n .com", err: "text after"},
		{value: "a..b@example.com", err: "malformed"},
		{value: ".a@example.com", err: "malformed"},
		{value: "a@example.com.", err: "malformed"},
		{value: "a@exa\xffmple.com", err: "malformed"},
		{value: "a\xff@example.com", err: "malformed"},
		{value: "=?utf-8?q?shop=40example.com?=", err: "no address"},
		{value: "=?utf-8?q?shop?=@example.com", err: "encoded-word"},
		{value: "<=?utf-8?q?shop?=@example.com>", err: "encoded-word"},
		{value: "=?utf-8?q?evil@evil.example?= <shop@example.com>", err: "malformed"},
		{value: `"evil@evil.example"@example.com`, err: "inside the address"},
		{value: `"unbalanced <shop@example.com>`, err: "quotes"},
		{value: `"trick\" <evil@evil.example>, \"" <shop@example.com>`, err: "two ways"},
		{value: "shop\\@example.com", err: "malformed"},
		{value: "shop@example.com\x00", err: "control"},
		{value: "sh\x00op@example.com", err: "control"},
		{value: "\"a\x07\" <shop@example.com>", err: "control"},
		{value: "shop@example.com\rBcc: x", err: "control"},
		{value: "\"a\rb\" <shop@example.com>", err: "control"},
		{value: "a\r\r\n <shop@example.com>", err: "control"},
		{value: "shop\x7f@example.com", err: "control"},
		{value: "[Shop] <shop@example.com>", err: "malformed"},
	} {
		f := Field{Name: "From", Raw: []byte("From: " + tt.value + "\r\n")}
		m, err := f.Mailbox()
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: got %v, %v, want an error with %q", tt.value, m.Address, err, tt.err)
			}
			continue
		}
		if err != nil || m.Address.String() != tt.want {
			t.Errorf("%q: got %v, %v, want %s", tt.value, m.Address, err, tt.want)
			continue
		}
		if a, err := ParseAddress(string(f.Raw[m.Start:m.End])); err != nil || a != m.Address {
			t.Errorf("%q: the span %q is not the address", tt.value, f.Raw[m.Start:m.End])
		}
	}
}
