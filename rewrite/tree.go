package rewrite

import (
	"strings"

	"golang.org/x/net/html"
)

// maxNesting is how deep elements may lie in each other.
const maxNesting = 512

// A tree is the shadow of an HTML part that selectors and labels are looked up
// in. It is built from the tokens of the scan, so that a node and the offsets
// of its tag belong together without a second parse, and links in conditional
// comments and noscript have their place in it as well. It knows the rules of
// HTML that matter for who lies in whom: void elements, implied end tags,
// table scope. Unlike the full algorithm it never clones elements: what a
// hostile part costs is linear in its size.
type tree struct {
	root html.Node
	open []*html.Node // root first
	base int          // elements of open below it belong to an outer scan
	slab []html.Node
}

func newTree() *tree {
	t := &tree{root: html.Node{Type: html.DocumentNode}}
	t.open = append(t.open, &t.root)
	t.base = 1
	return t
}

func (t *tree) top() *html.Node { return t.open[len(t.open)-1] }

// add appends a node to the innermost open element.
func (t *tree) add(n html.Node) *html.Node {
	if len(t.slab) == 0 {
		t.slab = make([]html.Node, 64)
	}
	node := &t.slab[0]
	t.slab = t.slab[1:]
	*node = n
	t.top().AppendChild(node)
	return node
}

// text adds a text node.
func (t *tree) text(s string) { t.add(html.Node{Type: html.TextNode, Data: s}) }

// start adds an element and opens it unless it is void. ok is false when
// elements are nested too deep.
func (t *tree) start(name string, attrs []html.Attribute, selfClosing bool) (n *html.Node, ok bool) {
	if closes, scope := implied(name); closes != "" {
		t.closeAny(closes, scope)
	}
	if name == "tr" && t.top().Data == "table" {
		t.open = append(t.open, t.add(html.Node{Type: html.ElementNode, Data: "tbody"}))
	}
	n = t.add(html.Node{Type: html.ElementNode, Data: name, Attr: attrs})
	if isVoid(name) || selfClosing && strings.Contains(name, ":") {
		return n, true
	}
	t.open = append(t.open, n)
	return n, len(t.open) <= maxNesting
}

// end closes the innermost element of that name, and what is open in it,
// unless a table cell lies between that a browser would not look behind.
func (t *tree) end(name string) {
	scope := cellScope
	if isTablePart(name) {
		scope = "table"
	}
	for i := len(t.open) - 1; i >= t.base; i-- {
		if t.open[i].Data == name {
			t.open = t.open[:i]
			return
		}
		if hasWord(scope, t.open[i].Data) {
			return
		}
	}
}

// closeAny closes the innermost open element that is one of names, looking no
// further than one of scope.
func (t *tree) closeAny(names, scope string) {
	for i := len(t.open) - 1; i >= t.base; i-- {
		name := t.open[i].Data
		if hasWord(names, name) {
			t.open = t.open[:i]
			return
		}
		if hasWord(scope, name) {
			return
		}
	}
}

// hasWord looks a name up in a list separated by spaces.
func hasWord(list, name string) bool {
	for word := range strings.FieldsSeq(list) {
		if word == name {
			return true
		}
	}
	return false
}

const cellScope = "td th table caption"

// implied returns which open element a start tag closes, and where the search
// for it ends.
func implied(name string) (closes, scope string) {
	switch name {
	case "li":
		return "li", "ul ol div " + cellScope
	case "dt", "dd":
		return "dt dd", "dl div " + cellScope
	case "option":
		return "option", "select"
	case "td", "th":
		return "td th", "tr table"
	case "tr":
		return "tr", "table"
	case "tbody", "thead", "tfoot":
		return "tbody thead tfoot", "table"
	case "body":
		return "head", "html"
	case "a":
		return "a", cellScope
	case "p", "div", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
		"center", "blockquote", "form", "pre", "section", "article", "header", "footer", "address":
		return "p", "button div " + cellScope
	}
	return "", ""
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr":
		return true
	}
	return false
}

func isTablePart(name string) bool {
	switch name {
	case "table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption", "body", "html":
		return true
	}
	return false
}
