package config

import (
	"iter"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// A tree is the configuration before it is given types: the file's nodes, the
// stand-ins for blocks it lacks, and the overrides.
type tree struct {
	root   *yaml.Node
	origin map[*yaml.Node]string // what is not from the file, with all in it
}

func newTree(root *yaml.Node) *tree {
	if root == nil {
		root = &yaml.Node{Kind: yaml.MappingNode}
	}
	t := &tree{root: root, origin: map[*yaml.Node]string{}}
	fill(root)
	return t
}

// standIn adds the blocks of defaults.yaml that the file has not.
func (t *tree) standIn() {
	var doc yaml.Node
	if err := yaml.Load(standIn, &doc); err != nil {
		panic(err) // it is embedded
	}
	pairs := doc.Content[0].Content
	for i := 0; i < len(pairs); i += 2 {
		name, block := pairs[i], pairs[i+1]
		if n := get(t.root, name.Value); n == nil || isNull(n) {
			t.put(t.root, name.Value, block, builtin)
		}
	}
}

// set gives the value at path a new node, with the blocks around it where they
// are missing. Where the file has something else in place of a block, that is
// an error of its own, and nothing is set.
func (t *tree) set(path []string, value *yaml.Node, source string) {
	n := t.root
	for _, name := range path[:len(path)-1] {
		s := slot(n, name)
		if s == nil {
			if s = t.put(n, name, &yaml.Node{}, source); s == nil {
				return
			}
		}
		n = own(s)
		fill(n)
	}
	name := path[len(path)-1]
	if s := slot(n, name); s != nil {
		t.origin[value] = source
		*s = value
		return
	}
	t.put(n, name, value, source)
}

// put adds a key to a block, and returns the slot of its value.
func (t *tree) put(n *yaml.Node, name string, value *yaml.Node, source string) **yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if s := slot(n, name); s != nil {
		*s = value
	} else {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, value)
	}
	t.origin[value] = source
	return slot(n, name)
}

// fill makes an empty block of nothing.
func fill(n *yaml.Node) {
	if n.Kind == 0 || isNull(n) {
		n.Kind, n.Tag, n.Value = yaml.MappingNode, "!!map", ""
	}
}

// own makes what a slot holds its own, where an alias shares it.
func own(s **yaml.Node) *yaml.Node {
	if n := follow(*s); n != *s || n.Anchor != "" {
		*s = clone(n)
		(*s).Anchor = ""
	}
	return *s
}

func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = clone(n.Content[i])
	}
	return &c
}

// slot returns where the value of a key, or the numbered element of a list, is
// kept; nil where there is none.
func slot(n *yaml.Node, name string) **yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == name {
				return &n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return &n.Content[i]
		}
	}
	return nil
}

// get returns the value of a key, nil where there is none.
func get(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	if s := slot(follow(n), name); s != nil {
		return *s
	}
	return nil
}

// pairs returns the keys and values of a block, elements the elements of a
// list; of anything else they return nothing.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		if n = follow(n); n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func elements(n *yaml.Node) []*yaml.Node {
	if n = follow(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
