package otlp

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// wire writes spans as OTLP's protobuf has them. To build the messages of the
// protobuf library and to marshal them takes ten times as long, which would
// be a third of what a whole request costs.
//
// The numbers of fields are those of opentelemetry/proto/trace/v1/trace.proto
// and opentelemetry/proto/common/v1/common.proto, which are stable.
type wire struct {
	spans []byte // each a field of ScopeSpans
	span  []byte // the fields of the span that is being written
	asked []byte // the attributes that all calls of an exchange have
}

const (
	scopeSpansSpans = 2

	spanTraceID    = 1
	spanID         = 2
	spanState      = 3
	spanParent     = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanStatus     = 15
	spanFlags      = 16

	statusCode  = 3
	statusError = 2 // STATUS_CODE_ERROR

	kindServer = 2
	kindClient = 3

	flagSampled     = 1
	flagKnowsRemote = 0x100 // the next flag says something
	flagRemote      = 0x200 // the parent is another process's
)

// head is what every span has.
type head struct {
	trace      [16]byte
	id, parent [8]byte
	state      string
	kind       uint64
	start      time.Time
	took       time.Duration
	remote     bool
}

// begin starts a span; attributes follow, then end.
func (w *wire) begin(h *head) {
	b := w.span[:0]
	b = protowire.AppendTag(b, spanTraceID, protowire.BytesType)
	b = protowire.AppendBytes(b, h.trace[:])
	b = protowire.AppendTag(b, spanID, protowire.BytesType)
	b = protowire.AppendBytes(b, h.id[:])
	if h.parent != [8]byte{} {
		b = protowire.AppendTag(b, spanParent, protowire.BytesType)
		b = protowire.AppendBytes(b, h.parent[:])
	}
	if h.state != "" {
		b = protowire.AppendTag(b, spanState, protowire.BytesType)
		b = protowire.AppendString(b, h.state)
	}
	b = protowire.AppendTag(b, spanKind, protowire.VarintType)
	b = protowire.AppendVarint(b, h.kind)
	start := uint64(h.start.UnixNano())
	b = protowire.AppendTag(b, spanStart, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, start)
	b = protowire.AppendTag(b, spanEnd, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, start+uint64(max(h.took, 0)))
	flags := uint32(flagSampled | flagKnowsRemote)
	if h.remote {
		flags |= flagRemote
	}
	b = protowire.AppendTag(b, spanFlags, protowire.Fixed32Type)
	w.span = protowire.AppendFixed32(b, flags)
}

// end ends the span, with its name.
func (w *wire) end(verb, object string, failed bool) {
	verb, object = clean(verb), clean(object)
	b := protowire.AppendTag(w.span, spanName, protowire.BytesType)
	if object == "" {
		b = protowire.AppendString(b, verb)
	} else {
		b = protowire.AppendVarint(b, uint64(len(verb)+1+len(object)))
		b = append(append(append(b, verb...), ' '), object...)
	}
	if failed {
		b = protowire.AppendTag(b, spanStatus, protowire.BytesType)
		b = protowire.AppendVarint(b, 2)
		b = protowire.AppendTag(b, statusCode, protowire.VarintType)
		b = protowire.AppendVarint(b, statusError)
	}
	w.span = b
	w.spans = protowire.AppendTag(w.spans, scopeSpansSpans, protowire.BytesType)
	w.spans = protowire.AppendBytes(w.spans, b)
}

// The fields of KeyValue, AnyValue and ArrayValue, each with the type of its
// encoding: all their tags are of one byte.
const (
	pairKey   = 1<<3 | byte(protowire.BytesType)
	pairValue = 2<<3 | byte(protowire.BytesType)

	anyString = 1<<3 | byte(protowire.BytesType)
	anyBool   = 2<<3 | byte(protowire.VarintType)
	anyInt    = 3<<3 | byte(protowire.VarintType)
	anyDouble = 4<<3 | byte(protowire.Fixed64Type)
	anyArray  = 5<<3 | byte(protowire.BytesType)

	arrayValues = 1<<3 | byte(protowire.BytesType)
)

// pair begins an attribute whose AnyValue has a length; the value follows.
func (w *wire) pair(key string, length int) {
	n := 1 + protowire.SizeBytes(len(key)) + 1 + protowire.SizeBytes(length)
	b := append(w.span, spanAttributes<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(n))
	b = append(b, pairKey)
	b = protowire.AppendString(b, key)
	b = append(b, pairValue)
	w.span = protowire.AppendVarint(b, uint64(length))
}

// text adds an attribute, unless it is empty.
func (w *wire) text(key, value string) {
	if value != "" {
		w.whole(key, clean(value))
	}
}

// whole adds a text that is UTF-8 as it is.
func (w *wire) whole(key, value string) {
	w.pair(key, 1+protowire.SizeBytes(len(value)))
	w.span = protowire.AppendString(append(w.span, anyString), value)
}

// texts adds an array.
func (w *wire) texts(key string, values ...string) {
	array := 0
	for i, v := range values {
		values[i] = clean(v)
		array += 1 + protowire.SizeBytes(1+protowire.SizeBytes(len(values[i])))
	}
	w.pair(key, 1+protowire.SizeBytes(array))
	b := protowire.AppendVarint(append(w.span, anyArray), uint64(array))
	for _, v := range values {
		b = protowire.AppendVarint(append(b, arrayValues), uint64(1+protowire.SizeBytes(len(v))))
		b = protowire.AppendString(append(b, anyString), v)
	}
	w.span = b
}

// number adds a whole number.
func (w *wire) number(key string, value int64) {
	w.pair(key, 1+protowire.SizeVarint(uint64(value)))
	w.span = protowire.AppendVarint(append(w.span, anyInt), uint64(value))
}

// real adds a number.
func (w *wire) real(key string, value float64) {
	w.pair(key, 1+8)
	w.span = protowire.AppendFixed64(append(w.span, anyDouble), math.Float64bits(value))
}

// flag adds true.
func (w *wire) flag(key string, value bool) {
	if value {
		w.pair(key, 1+1)
		w.span = append(w.span, anyBool, 1)
	}
}

// longest is the length of an attribute's value, in bytes: what clients choose,
// such as a model's name, can be as long as a request.
const longest = 1024

// clean cuts a value and makes it UTF-8, which protobuf demands: a collector
// refuses a whole batch for one text that is not.
func clean(s string) string {
	if len(s) > longest {
		n := longest
		for n > longest-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
