package tokens

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// room is what counting needs memory for. It need not be clean.
type room struct {
	merger
	text  []byte // what a JSON string says
	valid []byte // a piece with U+FFFD in place of what is not UTF-8
}

// count returns how many tokens s has. A byte that is not UTF-8 counts as
// U+FFFD, which it is to tiktoken-go and to whoever decodes it for a model.
func (v *vocabulary) count(s string) int {
	r := v.room()
	defer v.keep(r)
	return r.count(v, s)
}

// countJSON returns how many tokens the JSON string raw says.
func (v *vocabulary) countJSON(raw string) int {
	if strings.IndexByte(raw, '\\') < 0 {
		return v.count(unquoted(raw))
	}
	r := v.room()
	defer v.keep(r)
	r.text = appendText(r.text[:0], raw)
	return r.count(v, view(r.text))
}

func (r *room) count(v *vocabulary, s string) int {
	n, valid := 0, utf8.ValidString(s)
	for i := 0; i < len(s); {
		end := v.split(v.classes, s, i)
		piece := s[i:end]
		if !valid && !utf8.ValidString(piece) {
			r.valid = r.valid[:0]
			for _, c := range piece {
				r.valid = utf8.AppendRune(r.valid, c)
			}
			piece = view(r.valid)
		}
		n += r.piece(v, piece)
		i = end
	}
	return n
}

// room returns memory, mostly such as was used before.
func (v *vocabulary) room() *room {
	if r, ok := v.spare.Get().(*room); ok {
		return r
	}
	return &room{}
}

// keep puts memory aside for the next text, unless an enormous one made it
// large.
func (v *vocabulary) keep(r *room) {
	const most = 1 << 20 // bytes
	if cap(r.text)+cap(r.valid)+r.size() <= most {
		v.spare.Put(r)
	}
}

// view is b as a string, without a copy: b must not change while it is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
