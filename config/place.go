package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// document is a file while it is read: its values and what is wrong with them.
type document struct {
	root   node
	faults []locatedFault
	bad    map[string]bool // paths that have a fault
	broken map[string]bool // paths whose value is of the wrong kind: nothing is known below them
	more   int             // faults beyond maxFaults
}

type locatedFault struct {
	offset int
	Fault
}

// maxFaults bounds what is reported of one file: nobody corrects more at once.
const maxFaults = 1000

func newDocument(root node) *document {
	return &document{root: root, bad: map[string]bool{}, broken: map[string]bool{}}
}

// all returns the faults in the order of the file, nil when there are none.
func (d *document) all() error {
	if len(d.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(d.faults, func(a, b locatedFault) int { return cmp.Compare(a.offset, b.offset) })
	faults := make(Faults, 0, len(d.faults)+1)
	for _, f := range d.faults {
		faults = append(faults, f.Fault)
	}
	if d.more > 0 {
		faults = append(faults, Fault{Path: "the file", Seen: fmt.Sprintf("%d more faults", d.more), Want: "these corrected first"})
	}
	return faults
}

// place is a value in the file, or where one could be.
type place struct {
	doc    *document
	parent *place
	path   string
	offset int   // of the value, or of the object that lacks it
	node   *node // nil when there is none
}

func (d *document) place() *place {
	return &place{doc: d, offset: d.root.offset, node: &d.root}
}

// member returns the place of a member, whichever of its names it goes by.
func (p *place) member(names ...string) *place {
	m := &place{doc: p.doc, parent: p, path: join(p.path, names[0]), offset: p.offset}
	if p.node == nil {
		return m
	}
	for i := range p.node.members {
		if found := &p.node.members[i]; slices.Contains(names, found.name) {
			m.path, m.offset, m.node = join(p.path, found.name), found.offset, &found.node
			return m
		}
	}
	return m
}

// item returns the place of an array's item.
func (p *place) item(i int) *place {
	n := &p.node.items[i]
	return &place{doc: p.doc, parent: p, path: fmt.Sprintf("%s[%d]", p.path, i), offset: n.offset, node: n}
}

// join appends a member's name to a path, quoted when it is not a plain word.
func join(path, name string) string {
	plain := name != "" && len(name) <= maxSeen
	for i := range len(name) {
		c := name[i] | 0x20
		plain = plain && (c >= 'a' && c <= 'z' || isDigit(name[i]) || strings.IndexByte("_-$", name[i]) >= 0)
	}
	switch {
	case !plain:
		return path + "[" + quoteShort(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// empty reports that there is no value: none, null, or an empty string, which
// the first gateway's documentation calls not set.
func (p *place) empty() bool {
	return p.node == nil || p.node.kind == null || p.node.kind == text && p.node.text == ""
}

// seen returns the value as written. Of arrays and objects only the kind is
// shown, because there may be secrets in them.
func (p *place) seen() string {
	switch {
	case p.node == nil:
		return "nothing"
	case p.node.kind == text:
		return quoteShort(p.node.text)
	case p.node.kind == array && len(p.node.items) == 0:
		return "[]"
	case p.node.kind == boolean, p.node.kind == number:
		return shorten(p.node.text)
	}
	return p.node.kind.name()
}

// isBad reports whether the value, or one that it is part of, already has a
// fault, so that its own would only repeat it.
func (p *place) isBad() bool {
	if p.doc.bad[p.path] {
		return true
	}
	for q := p.parent; q != nil; q = q.parent {
		if p.doc.broken[q.path] {
			return true
		}
	}
	return false
}

// hasBad reports whether the value, one that it is part of, or one in it
// already has a fault.
func (p *place) hasBad() bool {
	if p.isBad() {
		return true
	}
	for path := range p.doc.bad {
		if inside, ok := strings.CutPrefix(path, p.path); ok && (inside[0] == '.' || inside[0] == '[') {
			return true
		}
	}
	return false
}

// fault notes that the value is not what is wanted.
func (p *place) fault(want string) { p.faultSeen(p.seen(), want) }

// faultSeen is fault for a value that must not be shown as written.
func (p *place) faultSeen(seen, want string) {
	if p.isBad() {
		return
	}
	if len(p.doc.faults) == maxFaults {
		p.doc.more++
		return
	}
	p.doc.bad[p.path] = true
	p.doc.faults = append(p.doc.faults, locatedFault{p.offset, Fault{Path: cmp.Or(p.path, "the file"), Seen: seen, Want: want}})
}

// wrongKind notes that the value is of another kind, so that nothing is known
// of what should be in it. A string is not shown: it may be a key.
func (p *place) wrongKind(want string) {
	seen := p.seen()
	if p.node.kind == text {
		seen = text.name()
	}
	p.faultSeen(seen, want)
	p.doc.broken[p.path] = true
}
