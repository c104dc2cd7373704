package otlp

import (
	"math"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestWireIsWhatProtobufReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wire
		spans := rapid.IntRange(1, 3).Draw(t, "spans")
		var names []string
		var wants []map[string]any
		for range spans {
			w.begin(&head{id: [8]byte{1}, start: begin, kind: kindClient})
			want := map[string]any{}
			keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z._]{1,200}`), 0, 8, rapid.ID[string]).Draw(t, "keys")
			for _, key := range keys {
				switch rapid.IntRange(0, 4).Draw(t, "type") {
				case 0:
					v := rapid.StringN(1, 400, 1000).Draw(t, "text")
					w.text(key, v)
					want[key] = clean(v)
				case 1:
					v := rapid.Int64().Draw(t, "number")
					w.number(key, v)
					want[key] = v
				case 2:
					v := rapid.Float64().Draw(t, "real")
					w.real(key, v)
					want[key] = v
				case 3:
					w.flag(key, true)
					want[key] = true
				case 4:
					given := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "texts")
					var all []any
					for _, v := range given {
						all = append(all, clean(v))
					}
					w.texts(key, given...)
					want[key] = all
				}
			}
			name := rapid.StringN(0, 200, 600).Draw(t, "name")
			w.end("verb", name, false)
			if name = clean(name); name != "" {
				name = " " + name
			}
			names, wants = append(names, "verb"+name), append(wants, want)
		}
		var got tracepb.ScopeSpans
		if err := proto.Unmarshal(w.spans, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Spans) != spans || len(got.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("got %d spans of %d", len(got.Spans), spans)
		}
		for i, span := range got.Spans {
			if span.Name != names[i] || len(span.ProtoReflect().GetUnknown()) > 0 {
				t.Fatalf("got name %q, want %q", span.Name, names[i])
			}
			if diff := cmp.Diff(wants[i], pairs(span.Attributes), cmp.Comparer(func(a, b float64) bool {
				return math.Float64bits(a) == math.Float64bits(b)
			})); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

func TestCleanKeepsTheBeginningAndIsUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 2*longest).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "valid") {
			s = rapid.StringN(longest/4, longest, 2*longest).Draw(t, "text")
		}
		got := clean(s)
		if !utf8.ValidString(got) || len(got) > 3*longest {
			t.Fatalf("got %d bytes, valid %v", len(got), utf8.ValidString(got))
		}
		if utf8.ValidString(s) && (got != s[:len(got)] || len(s) > longest && len(got) < longest-3 || len(s) <= longest && got != s) {
			t.Fatalf("got %d bytes of %d", len(got), len(s))
		}
	})
}
