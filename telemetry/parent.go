package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"aigateway/persist"
)

// NewSpan returns the id of a new span.
func NewSpan() (id [8]byte) {
	for id == [8]byte{} { // which no span may have
		put(id[:], rand.Uint64())
	}
	return id
}

func put(b []byte, n uint64) { binary.BigEndian.PutUint64(b, n) }

// Parent is the traceparent header of a call that is the span of a trace; it
// is empty when there is no trace. The trace's State goes with it as
// tracestate.
//
// The format is that of W3C Trace Context, section 3.2.
func Parent(t *persist.Trace, span [8]byte) string {
	if t == nil {
		return ""
	}
	b := make([]byte, 0, parentLength)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	if t.Sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

// parentLength is that of a traceparent of version 00:
// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.
const parentLength = 55

// parseParent reads a traceparent header into ID, Parent and Sampled, and
// leaves t as it was when the header is not valid. Versions to come may have
// more behind; version ff is forbidden.
func parseParent(s string, t *persist.Trace) bool {
	if len(s) < parentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	var version, flags [1]byte
	var id [16]byte
	var span [8]byte
	if !decode(version[:], s[:2]) || !decode(id[:], s[3:35]) || !decode(span[:], s[36:52]) || !decode(flags[:], s[53:55]) {
		return false
	}
	if id == [16]byte{} || span == [8]byte{} || version[0] == 0xff {
		return false
	}
	if len(s) > parentLength && (version[0] == 0 || s[parentLength] != '-') {
		return false
	}
	t.ID, t.Parent, t.Sampled = id, span, flags[0]&1 != 0
	return true
}

// decode reads lower-case hexadecimal digits, the only ones allowed.
func decode(into []byte, s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(into, []byte(s))
	return err == nil
}
