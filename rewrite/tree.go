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
	open []openNode     // root first
	base int            // elements of open below it belong to an outer scan
	held map[string]int // how many of a name are open: most stray end tags need no search
	slab []html.Node
}

type openNode struct {
	node *html.Node
	kind kind
}

func newTree() *tree {
	t := &tree{base: 1, held: map[string]int{}}
	t.root.Type = html.DocumentNode
	t.open = append(t.open, openNode{node: &t.root})
	return t
}

// add appends a node to the innermost open element.
func (t *tree) add(n html.Node) *html.Node {
	if len(t.slab) == 0 {
		t.slab = make([]html.Node, 64)
	}
	node := &t.slab[0]
	t.slab = t.slab[1:]
	*node = n
	t.open[len(t.open)-1].node.AppendChild(node)
	return node
}

// text adds a text node.
func (t *tree) text(s string) { t.add(html.Node{Type: html.TextNode, Data: s}) }

// start adds an element and opens it unless it is void. ok is false when
// elements are nested too deep.
func (t *tree) start(name string, attrs []html.Attribute, selfClosing bool) (n *html.Node, ok bool) {
	k := kindOf(name)
	if closes, scope := k.implied(); closes != 0 {
		t.closeKind(closes, scope)
	}
	if k == kindRow && t.open[len(t.open)-1].kind == kindTable {
		t.push("tbody", nil)
	}
	if isVoid(name) || selfClosing && strings.Contains(name, ":") {
		return t.add(html.Node{Type: html.ElementNode, Data: name, Attr: attrs}), true
	}
	return t.push(name, attrs), len(t.open) <= maxNesting
}

func (t *tree) push(name string, attrs []html.Attribute) *html.Node {
	n := t.add(html.Node{Type: html.ElementNode, Data: name, Attr: attrs})
	t.open = append(t.open, openNode{n, kindOf(name)})
	t.held[name]++
	return n
}

// close closes the elements from t.open[i] on.
func (t *tree) close(i int) {
	for _, o := range t.open[i:] {
		t.held[o.node.Data]--
	}
	t.open = t.open[:i]
}

// end closes the innermost element of that name, and what is open in it,
// unless a table cell lies between that a browser would not look behind.
func (t *tree) end(name string) {
	if t.held[name] == 0 {
		return
	}
	scope := cellScope
	if isTablePart(name) {
		scope = kindTable
	}
	for i := len(t.open) - 1; i >= t.base; i-- {
		if t.open[i].node.Data == name {
			t.close(i)
			return
		}
		if t.open[i].kind&scope != 0 {
			return
		}
	}
}

// closeKind closes the innermost open element of one of the kinds, looking no
// further than one of scope.
func (t *tree) closeKind(kinds, scope kind) {
	for i := len(t.open) - 1; i >= t.base; i-- {
		if t.open[i].kind&kinds != 0 {
			t.close(i)
			return
		}
		if t.open[i].kind&scope != 0 {
			return
		}
	}
}

// A kind tells apart the elements that end tags and implied ends look at.
type kind uint16

const (
	kindCell kind = 1 << iota
	kindRow
	kindSection // of a table
	kindTable
	kindCaption
	kindItem
	kindList
	kindTerm // dt, dd
	kindTerms
	kindOption
	kindSelect
	kindParagraph
	kindBlock // what ends a paragraph
	kindDiv
	kindLink

	cellScope = kindCell | kindTable | kindCaption
)

func kindOf(name string) kind {
	switch name {
	case "td", "th":
		return kindCell
	case "tr":
		return kindRow
	case "tbody", "thead", "tfoot":
		return kindSection
	case "table":
		return kindTable
	case "caption":
		return kindCaption
	case "li":
		return kindItem
	case "ul", "ol":
		return kindList
	case "dt", "dd":
		return kindTerm
	case "dl":
		return kindTerms
	case "option":
		return kindOption
	case "select":
		return kindSelect
	case "p":
		return kindParagraph
	case "div":
		return kindDiv
	case "h1", "h2", "h3", "h4", "h5", "h6", "hr", "center", "blockquote", "form", "pre",
		"section", "article", "header", "footer", "address":
		return kindBlock
	case "a":
		return kindLink
	}
	return 0
}

// implied returns the kinds of which a start tag closes the innermost, and
// where the search for it ends.
func (k kind) implied() (closes, scope kind) {
	switch k {
	case kindItem:
		return kindItem, kindList | kindDiv | cellScope
	case kindTerm:
		return kindTerm, kindTerms | kindDiv | cellScope
	case kindOption:
		return kindOption, kindSelect
	case kindCell:
		return kindCell, kindRow | kindTable
	case kindRow:
		return kindRow, kindTable
	case kindSection:
		return kindSection, kindTable
	case kindLink:
		return kindLink, cellScope
	case kindParagraph, kindBlock, kindDiv, kindTable, kindList, kindTerms:
		return kindParagraph, kindDiv | cellScope
	}
	return 0, 0
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
