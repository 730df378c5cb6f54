package sendmail

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// show is what a command line was understood as.
func show(o Options) string {
	var b strings.Builder
	if o.Mode != Deliver {
		fmt.Fprintf(&b, "mode=%d ", o.Mode)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"t", o.FromHeader}, {"i", o.KeepDots}, {"v", o.Verbose}, {"json", o.JSON}} {
		if f.set {
			b.WriteString(f.name + " ")
		}
	}
	if o.Sender != nil {
		fmt.Fprintf(&b, "f=<%s> ", *o.Sender)
	}
	for _, f := range []struct{ name, value string }{{"F", o.Name}, {"N", string(o.Notify)}, {"R", o.Ret}, {"V", o.EnvID}, {"Q", o.Spool}, {"C", o.Config}, {"set", strings.Join(o.Sets, ",")}} {
		if f.value != "" {
			fmt.Fprintf(&b, "%s=%s ", f.name, f.value)
		}
	}
	return strings.TrimSpace(b.String() + strings.Join(o.Recipients, " "))
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"a@b.test c@d.test", "a@b.test c@d.test"},
		{"-t", "t"},
		{"-t -i", "t i"},
		{"-ti", "t i"},
		{"-ti -fme@b.test a@b.test", "t i f=<me@b.test> a@b.test"},
		{"-f|me@b.test|a@b.test", "f=<me@b.test> a@b.test"},
		{"-r|me@b.test|-oi|-odi|-oem|-om|--|a@b.test", "i f=<me@b.test> a@b.test"},
		{"-f||a@b.test", "f=<> a@b.test"},
		{"-f|<>|a@b.test", "f=<> a@b.test"},
		{"-f|Me <me@b.test>|a@b.test", "f=<me@b.test> a@b.test"},
		{"-F|The Shop|-t", "t F=The Shop"},
		{"-FShop -t", "t F=Shop"},
		{"-bm root", "root"},
		{"-bs", fmt.Sprintf("mode=%d", Speak)},
		{"-bp", fmt.Sprintf("mode=%d", List)},
		{"-bp --json", fmt.Sprintf("mode=%d json", List)},
		{"-bi", fmt.Sprintf("mode=%d", Aliases)},
		{"-I", fmt.Sprintf("mode=%d", Aliases)},
		{"-q", fmt.Sprintf("mode=%d", Flush)},
		{"-q30m", fmt.Sprintf("mode=%d", Flush)},
		{"-N failure,delay -R hdrs -V id42 -X /tmp/log a@b.test", "N=FAILURE,DELAY R=HDRS V=id42 a@b.test"},
		{"-Nnever -Rfull a@b.test", "N=NEVER R=FULL a@b.test"},
		{"-OIgnoreDots -O QueueDirectory=/var/q -oQ/var/r -t", "t i Q=/var/r"},
		{"-Am -B8BITMIME -G -L tag -n -U -d0.1 -em -v a@b.test", "v a@b.test"},
		{"--config /etc/b.yaml --set=a=b -C /etc/c.yaml -t", "t C=/etc/c.yaml set=a=b"},
		{"-- -f@b.test", "-f@b.test"},
		{"-Z a@b.test", "64"},
		{"--what", "64"},
		{"--config", "64"},
		{"-f", "64"},
		{"-f|a@b.test,c@d.test|x@y.test", "64"},
		{"-f|a b@c.test|x@y.test", "64"},
		{"-N sometimes a@b.test", "64"},
		{"-N never,delay a@b.test", "64"},
		{"-R none a@b.test", "64"},
		{"-V 주문 a@b.test", "64"},
		{"-V " + strings.Repeat("x", 101), "64"},
		{"-bd", "64"},
		{"-bx", "64"},
		{"-o||a@b.test", "a@b.test"},
		{"a@b@c.test", "65"},
		{"a@b.test\r\nRCPT", "65"},
	} {
		sep := " "
		if strings.Contains(c.args, "|") {
			sep = "|"
		}
		o, err := Parse(strings.Split(c.args, sep))
		got := show(o)
		if e := (*Error)(nil); errors.As(err, &e) {
			got = fmt.Sprint(e.Code)
		} else if err != nil {
			t.Errorf("%q: %v is no *Error", c.args, err)
		}
		if got != c.want {
			t.Errorf("%q: %q (%v), want %q", c.args, got, err, c.want)
		}
	}
}

// TestParseOperands makes sure that nothing behind the first address is an
// option: web forms put addresses of strangers there.
func TestParseOperands(t *testing.T) {
	o, err := Parse([]string{"-i", "a@b.test", "-oQ/tmp", "--config=/etc/passwd"})
	if err != nil || o.Spool != "" || o.Config != "" || len(o.Recipients) != 3 {
		t.Errorf("an address became an option: %+v, %v", o, err)
	}
	o, err = Parse([]string{"a@b.test, c@d.test", "Ms E <e@f.test>", "root"})
	if want := []string{"a@b.test", "c@d.test", "e@f.test", "root"}; err != nil || !slices.Equal(o.Recipients, want) {
		t.Errorf("recipients %q, %v", o.Recipients, err)
	}
}

func TestAddressList(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // joined by a blank; "!" for an error
	}{
		{"", ""},
		{"a@b.test", "a@b.test"},
		{"root", "root"},
		{"a@b.test,,c@d.test,", "a@b.test c@d.test"},
		{`"Kim, Shop" <kim@b.test>, Lee <lee@b.test>`, "kim@b.test lee@b.test"},
		{"=?EUC-KR?B?sea1vw==?= <a@b.test>", "a@b.test"},
		{"\xb1\xe8\xc3\xb6\xbc\xf6 <a@b.test>", "a@b.test"},            // raw EUC-KR
		{"\x8c\x63\xc5\xc2 <a@b.test>, c@d.test", "a@b.test c@d.test"}, // CP949 beyond EUC-KR
		{"a@b.test (Kim, the \\) one), c@d.test", "a@b.test c@d.test"},
		{"undisclosed-recipients:;", ""},
		{"Friends: a@b.test, B <b@b.test>;, c@d.test", "a@b.test b@b.test c@d.test"},
		{"<@relay.test:a@b.test>", "a@b.test"},
		{"<>", ""},
		{`"a b"@c.test`, `"a b"@c.test`},
		{`"a@x"@c.test`, `"a@x"@c.test`},
		{`"x,y" <a@b.test`, "!"},
		{`"x <a@b.test>`, "!"},
		{"a b@c.test", "!"},
		{"a@b@c.test", "!"},
		{"a@b.test\nX: y", "!"},
		{"<a@b.test> <c@d.test>", "c@d.test"},
	} {
		list, err := addressList(c.text)
		got := strings.Join(list, " ")
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%q: %q (%v), want %q", c.text, got, err, c.want)
		}
	}
}
