package rewrite

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxNesting is how deep elements may lie in each other in a tree. Replies to
// replies reach thousands.
const maxNesting = 10_000

// A tree is the shadow of an HTML part that selectors, opt-outs of what links
// lie in, and the words round a link are looked up in. It is built from the
// tokens of the scan, so that a node and the offset of its tag belong together,
// and links in conditional comments and noscript have their place in it as
// well. It knows the rules of HTML that matter for who lies in whom: void
// elements, implied end tags, table scope. Unlike the full algorithm it never
// clones elements: what a hostile part costs is linear in its size.
type tree struct {
	root     html.Node
	links    []*html.Node   // of the page's anchors
	optedOut []*html.Node   // by an attribute of their own
	open     []openNode     // root first
	outer    []int          // for each comment around the current token, what was open before it
	held     map[string]int // how many of a name are open: most stray end tags need no search
	slab     []html.Node
	attrs    []html.Attribute
	deep     int // the greatest length of open
}

type openNode struct {
	node *html.Node
	kind kind
}

// newTree returns the tree of a page, at the cost of left. ok is false beyond a
// bound.
func newTree(p *page, left *budget) (t *tree, ok bool) {
	t = &tree{held: map[string]int{}, links: make([]*html.Node, 0, len(p.anchors))}
	t.root.Type = html.DocumentNode
	t.open = append(t.open, openNode{node: &t.root})
	w := walker{lexer: lexer{html: p.mask}}
	r := reader{p, string(p.text)}
	for w.next() {
		if left.nodes--; left.nodes < 0 || len(t.open) > maxNesting {
			return nil, false
		}
		switch w.kind {
		case tokenText:
			if w.element != "style" && w.element != "script" {
				t.add(html.Node{Type: html.TextNode, Data: r.decoded(w.span)})
			}
		case tokenStart:
			n := t.start(nameOf(w.name.in(p.mask)), t.attributes(&r, w.attrs), w.selfClosing)
			if i := len(t.links); i < len(p.anchors) && p.anchors[i].tag == w.from {
				t.links = append(t.links, n)
			}
			if p.holds && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return optsOut(a.Key, a.Val) }) {
				t.optedOut = append(t.optedOut, n)
			}
		case tokenEnd:
			t.end(nameOf(w.name.in(p.mask)))
		case tokenEnter:
			t.outer = append(t.outer, len(t.open))
		case tokenLeave:
			t.close(t.base())
			t.outer = t.outer[:len(t.outer)-1]
		}
	}
	return t, true
}

// nameOf returns the name of a tag or an attribute in lower case.
func nameOf(name []byte) string {
	var buf [32]byte
	if low := lower(buf[:0], name); len(low) == len(name) {
		return atom.String(low)
	}
	return strings.ToLower(string(name))
}

// attributes returns the attributes of a tag, the first of each name.
func (t *tree) attributes(r *reader, attrs []attr) []html.Attribute {
	if len(t.attrs)+len(attrs) > cap(t.attrs) {
		t.attrs = make([]html.Attribute, 0, max(256, len(attrs)))
	}
	start := len(t.attrs)
	for i, a := range attrs {
		if name := a.name.in(r.mask); !hasName(r.mask, attrs[:i], name) {
			t.attrs = append(t.attrs, html.Attribute{Key: nameOf(name), Val: r.decoded(a.value)})
		}
	}
	return t.attrs[start:len(t.attrs):len(t.attrs)]
}

// A reader decodes all of a page, piece by piece.
type reader struct {
	*page
	all string // its text
}

// decoded is page.decoded without a copy where there is nothing to decode.
func (r *reader) decoded(in span) string {
	text := r.all[in.from:in.to]
	if strings.IndexByte(text, '&') < 0 && (r.decoder == nil || !r.shifted && isASCII(text)) {
		return text
	}
	return r.page.decoded(in)
}

// base returns how much of open belongs to what lies outside: elements that a
// conditional comment leaves open end with it.
func (t *tree) base() int {
	if len(t.outer) == 0 {
		return 1
	}
	return t.outer[len(t.outer)-1]
}

// horizon returns how far back an end tag is looked after: far enough for any
// page that is nested on purpose.
func (t *tree) horizon() int { return max(t.base(), len(t.open)-512) }

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

// start adds an element and opens it unless it is void.
func (t *tree) start(name string, attrs []html.Attribute, selfClosing bool) *html.Node {
	k := kindOf(name)
	if closes, scope := k.implied(); closes != 0 {
		t.closeKind(closes, scope)
	}
	if k == kindRow && t.open[len(t.open)-1].kind == kindTable {
		t.push("tbody", nil)
	}
	if isVoid(name) || selfClosing && strings.Contains(name, ":") {
		return t.add(html.Node{Type: html.ElementNode, Data: name, Attr: attrs})
	}
	return t.push(name, attrs)
}

func (t *tree) push(name string, attrs []html.Attribute) *html.Node {
	n := t.add(html.Node{Type: html.ElementNode, Data: name, Attr: attrs})
	t.open = append(t.open, openNode{n, kindOf(name)})
	t.held[name]++
	t.deep = max(t.deep, len(t.open))
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
	for i := len(t.open) - 1; i >= t.horizon(); i-- {
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
	for i := len(t.open) - 1; i >= t.horizon(); i-- {
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
