package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"unicode/utf8"

	"aigateway/openai"
)

// maxQuestion is the longest text that is embedded, in bytes: the input limit
// of OpenAI's embedding models is 8,191 tokens, of some four bytes.
const maxQuestion = 32 << 10

// reader finds what a request asks, and digests all else. The question is the
// text of the last message, when it is a user's; of a request without messages,
// the prompt, when it is one string. What is embedded does not depend on it:
// the keys stay as they are when the configuration changes.
type reader struct {
	canon canon
	masks []span // of the question's strings, with their quotes
	// question has the strings decoded, each with a byte FF behind it, which
	// none of them has.
	question []byte
}

var readers = sync.Pool{New: func() any { return &reader{canon: newCanon()} }}

// release gives r back. It must not be used any more.
func (r *reader) release() {
	r.canon.release()
	if cap(r.question) > maxKept {
		r.question = nil
	}
	readers.Put(r)
}

// read returns the digest of the request with its question masked. ok is false
// for a request that has content beside text, in whatever message: it is not
// cached at all.
func (r *reader) read(req *openai.Request) (fingerprint Hash, ok bool) {
	b := req.Bytes()
	r.masks, r.question = r.masks[:0], r.question[:0]
	top := open(b, skipSpace(b, 0))
	for {
		name, more := top.member()
		if !more {
			break
		}
		switch {
		case req.HasMessages && named(name, "messages"):
			if !r.messages(b, top.i) {
				return Hash{}, false
			}
		case !req.HasMessages && named(name, "prompt"):
			r.prompt(b, top.i)
		}
		top.skip()
	}
	for _, m := range r.masks {
		r.question = appendUnescaped(r.question, b[m.from+1:m.to-1])
		r.question = append(r.question, 0xFF)
	}
	return r.canon.request(b, r.masks)
}

// messages looks at the array at i: whether there is only text in it, and
// where the question's strings are.
func (r *reader) messages(b []byte, i int) (ok bool) {
	if !opens(b, i, '[') {
		return false
	}
	l := open(b, i)
	for l.next() {
		r.masks = r.masks[:0]
		if !opens(b, l.i, '{') || !r.message(b, l.i) {
			return false
		}
		l.skip()
	}
	return !l.bad
}

// message looks at the object at i, and notes the strings of a user's message.
func (r *reader) message(b []byte, i int) (ok bool) {
	user := false
	l := open(b, i)
	for {
		name, more := l.member()
		if !more {
			break
		}
		from := l.i
		l.skip()
		if l.bad {
			return false
		}
		switch value := b[from:l.i]; {
		case named(name, "role"):
			user = len(value) > 2 && value[0] == '"' && named(value[1:len(value)-1], "user")
		case named(name, "content"):
			if !r.content(b, span{from, l.i}) {
				return false
			}
		case named(name, "audio") && string(value) != "null":
			return false // refers to what was said, by an id that expires
		}
	}
	if !user {
		r.masks = r.masks[:0]
	}
	return !l.bad
}

// content looks at the content of a message: a string, null, or parts that
// are all text, or a refusal.
func (r *reader) content(b []byte, at span) (ok bool) {
	switch b[at.from] {
	case '"':
		r.masks = append(r.masks, at)
		return true
	case '[':
	default:
		return string(b[at.from:at.to]) == "null"
	}
	l := open(b, at.from)
	for l.next() {
		if !opens(b, l.i, '{') || !r.part(b, l.i) {
			return false
		}
		l.skip()
	}
	return !l.bad
}

// part looks at one part of a content.
func (r *reader) part(b []byte, i int) (ok bool) {
	var kind string
	l := open(b, i)
	for {
		name, more := l.member()
		if !more {
			break
		}
		from := l.i
		l.skip()
		if l.bad {
			return false
		}
		isString := b[from] == '"'
		switch {
		case named(name, "type") && isString:
			switch inside := b[from+1 : l.i-1]; {
			case named(inside, "text"):
				kind = "text"
			case named(inside, "refusal"):
				kind = "refusal"
			}
		case named(name, "text"):
			if !isString {
				return false
			}
			r.masks = append(r.masks, span{from, l.i})
		}
	}
	return !l.bad && kind != ""
}

// prompt notes a prompt that is one string, alone or in a list. Several
// prompts in one request are as many questions, and the answers come in their
// order; lists of token ids are no text. Both are for the exact layer only.
func (r *reader) prompt(b []byte, i int) {
	if opens(b, i, '[') {
		l := open(b, i)
		if !l.next() {
			return
		}
		i = l.i
		l.skip()
		if l.next() {
			return
		}
	}
	if opens(b, i, '"') {
		if end := stringEnd(b, i); end > 0 {
			r.masks = append(r.masks, span{i, end})
		}
	}
}

// text returns the question as one text, its strings apart, or "" when that
// cannot be embedded or stored as it is: too long, blank, not Unicode, or with
// the character NUL, which no PostgreSQL text has.
func (r *reader) text() string {
	q := bytes.TrimSuffix(r.question, []byte{0xFF})
	if len(q) > maxQuestion || len(bytes.TrimSpace(q)) == 0 {
		return ""
	}
	text := strings.ReplaceAll(string(q), "\xFF", "\n\n")
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return ""
	}
	return text
}

// key returns the exact key of a request: of where it is asked, what it says
// beside its question, and the question. The question comes last and has no
// bound, so nothing else can be read into it.
func (r *reader) key(place, fingerprint Hash) Hash {
	c := &r.canon
	c.out = append(append(c.out[:0], place[:]...), fingerprint[:]...)
	c.h.Reset()
	c.h.Write(c.out)
	c.h.Write(r.question)
	return Hash(c.h.Sum(c.sum[:0]))
}

// bucketOf returns the digest of all that must be equal for two questions to
// be compared by nearness.
func bucketOf(place, fingerprint Hash, model string, width int) Hash {
	b := make([]byte, 0, 256)
	b = append(b, "bucket"...)
	b = append(b, place[:]...)
	b = append(b, fingerprint[:]...)
	b = binary.AppendUvarint(b, uint64(width))
	b = append(b, model...)
	return sha256.Sum256(b)
}
