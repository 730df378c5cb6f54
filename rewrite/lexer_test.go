package rewrite

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// lexerSeeds are what the states of WHATWG 13.2.5 turn on.
var lexerSeeds = []string{
	`<a href="x">y</a>`, `<A HREF=x/>`, `<a href = 'x' href=y>`, `<a =b=c>`, `<a b=/>`, `<a b="/"/>`, `<a/b/c / d>`, `<a b=>c`, `<a b= >c`,
	`<a b="c`, `<a b`, `<a `, `<a`, `<`, `</`, `</a`, `</a >x`, `</ a>`, `</>`, `<>`, `<1>`, `<<a>`, `< a>`, `a<`, `a</`, `<a<b>`, `<a"b'c>`, `<a b='"' c="'">`, `<b a a=/>`, `<b a A=/ >`,
	`<!-->x`, `<!--->x`, `<!---->x`, `<!--a-->x`, `<!--a--!>x`, `<!--!>-->`, `<!--a--!-->x`, `<!--a--!->-->`, `<!----!>x`, `<!--a-`, `<!--a--`, `<!--a--!`, `<!-a>`, `<!>`, `<!`, `<!-`, `<!->`,
	`<!DOCTYPE html>x`, `<!doctype`, `<!doc>`, `<![CDATA[a>b]]>`, `<?xml a?>b`, `<?>`, `<![if !mso]>x<![endif]>`, `<!--[if mso]><a href=x><![endif]-->`,
	`<style>a<b</styles></style >x`, `<STYLE/>a</StYlE>`, `<style></style>`, `<style>a</style`, `<title>a<b>&amp;</title>`, `<textarea></a></textarea>`, `<plaintext><a>`, `<xmp></xm></xmp>`, `<noscript><a href=x></noscript>`, `<iframe>`, `<style>a</`,
	`<script>a</script>`, `<script><!--</script>`, `<script><!--<script></script></script>`, `<script><!--<script>--></script>`, `<script><!-- <script </script> --> </script>x`, `<script><!-->`, `<script><!--->`,
	`<script><!--a<`, `<script><!--a<1</script>`, `<script><!--<scripty></script>`, `<script><!--<script></scripty></script>`, `<script><!--<script`, `<script><!--<script></script`, `<script><!--<scr</script>`, `<script><!-</script>`, `<script></scrip</script>`, `<script><!--<sc-->`, `<script><!--<script><</script>`, `<script><!--a<</script>`,
	"<a\x00b c\x00=d\x00>", "<a\nb\r\n=\tc\f>", "<ſcript>", "<script></ſcript>", "<Kbd>", "<style></ſtyle>",
}

func FuzzLexer(f *testing.F) {
	for _, s := range lexerSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(sameTokens)
}

// Every pair and triple of the seeds, so that what one leaves open meets the
// next.
func TestLexerPairs(t *testing.T) {
	for _, a := range lexerSeeds {
		for _, b := range lexerSeeds {
			sameTokens(t, []byte(a+b))
			sameTokens(t, []byte(a+b+a))
		}
	}
}

// Every file of the corpus, taken for HTML, whole and cut near its tags.
func TestLexerCorpus(t *testing.T) {
	files := 0
	eachPage(t, func(page []byte) {
		files++
		sameTokens(t, page)
		for i, at := 0, 0; i < 60; i++ {
			at += bytes.IndexByte(page[at:], '<') + 1
			if end := at + i; end <= len(page) {
				sameTokens(t, page[:end])
			}
		}
	})
	if files < 20 {
		t.Fatalf("%d files", files)
	}
}

// eachPage calls f with every file of the corpus, or of testdata where there is
// none, as it lies.
func eachPage(t *testing.T, f func(page []byte)) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		root = "testdata"
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		page, err := os.ReadFile(path)
		if err == nil {
			f(page)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sameTokens holds the lexer against the tokenizer of x/net/html: where tokens
// begin and end, their kind, the names of tags, and the names and values of
// attributes.
func sameTokens(t *testing.T, page []byte) {
	t.Helper()
	l := lexer{html: page}
	z := html.NewTokenizer(bytes.NewReader(page))
	at := 0
	for n := 0; ; n++ {
		kind := z.Next()
		raw := len(z.Raw())
		if kind == html.ErrorToken && raw == 0 {
			if l.next() {
				t.Fatalf("token %d of %q: %v %q, want the end", n, page, l.kind, l.in(page))
			}
			if at != len(page) {
				t.Fatalf("tokens of %q end at %d", page, at)
			}
			return
		}
		if !l.next() || l.from != at || l.to != at+raw {
			t.Fatalf("token %d of %q: %v at %v, want %v at %d to %d", n, page, l.kind, l.span, kind, at, at+raw)
		}
		at = l.to
		if got, want := l.describe(), describe(z, kind); got != want {
			t.Fatalf("token %d of %q: %s, want %s", n, page, got, want)
		}
	}
}

// describe writes a token of the lexer as describe does.
func (l *lexer) describe() string {
	switch l.kind {
	case tokenText:
		return "text"
	case tokenOther:
		return "other"
	case tokenCut:
		return "cut"
	case tokenEnd:
		return "end " + asName(l.name.in(l.html))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "start %s %v", asName(l.name.in(l.html)), l.selfClosing)
	seen := map[string]bool{}
	for _, a := range l.attrs {
		key := asName(a.name.in(l.html))
		if !seen[key] {
			fmt.Fprintf(&b, " %q=%q", key, attrValue(l.html[l.from:l.to], key, a.value.in(l.html)))
		}
		seen[key] = true
	}
	return b.String()
}

// asName writes the name of a tag or an attribute as x/net/html does.
func asName(name []byte) string {
	name = bytes.ReplaceAll(name, []byte{0}, []byte("\ufffd"))
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] = c | 0x20
		}
	}
	return string(name)
}

func describe(z *html.Tokenizer, kind html.TokenType) string {
	switch kind {
	case html.TextToken:
		return "text"
	case html.CommentToken, html.DoctypeToken:
		return "other"
	case html.ErrorToken:
		return "cut"
	case html.EndTagToken:
		name, _ := z.TagName()
		return "end " + string(name)
	}
	var b strings.Builder
	name, more := z.TagName()
	fmt.Fprintf(&b, "start %s %v", name, kind == html.SelfClosingTagToken)
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		fmt.Fprintf(&b, " %q=%q", key, value)
	}
	return b.String()
}
