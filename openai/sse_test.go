package openai

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// reads brings one text per read, then err, or io.EOF.
type reads struct {
	texts []string
	err   error
}

func (r *reads) Read(p []byte) (int, error) {
	if len(r.texts) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		return 0, io.EOF
	}
	n := copy(p, r.texts[0])
	if r.texts[0] = r.texts[0][n:]; r.texts[0] == "" {
		r.texts = r.texts[1:]
	}
	return n, nil
}

// allEvents returns what next passes on until the reader ends, and what is left.
func allEvents(t *testing.T, r io.Reader) (events []string, rest string) {
	t.Helper()
	e := NewEvents(r)
	defer e.Release()
	for {
		for {
			block, p := e.next()
			if p == noPart {
				break
			}
			events = append(events, string(block))
		}
		if err := e.fill(MaxEvent); err != nil {
			return events, string(e.buf[e.start:e.end])
		}
	}
}

func TestEventsEndWithAnEmptyLineOfAnyKind(t *testing.T) {
	for _, tt := range []struct {
		stream string
		want   []string
		rest   string
	}{
		{"", nil, ""},
		{"data: a", nil, "data: a"},
		{"data: a\n", nil, "data: a\n"},
		{"data: a\n\ndata: b\n\n", []string{"data: a\n\n", "data: b\n\n"}, ""},
		{"data: a\r\n\r\ndata: b\r\n\r\n", []string{"data: a\r\n\r\n", "data: b\r\n\r\n"}, ""},
		{"data: a\r\rdata: b\r\r", []string{"data: a\r\r", "data: b\r\r"}, ""},
		{"data: a\r\n\ndata: b\n\r\ndata: c\n\rdata: d\r\r\n", []string{"data: a\r\n\n", "data: b\n\r\n", "data: c\n\r", "data: d\r\r\n"}, ""},
		{": hi\n\n\n\nevent: x\ndata: é\n\nid: 1\n", []string{": hi\n\n", "\n", "\n", "event: x\ndata: é\n\n"}, "id: 1\n"},
	} {
		events, rest := allEvents(t, strings.NewReader(tt.stream))
		if diff := cmp.Diff(tt.want, events); diff != "" || rest != tt.rest {
			t.Errorf("%q: rest %q, (-want +got)\n%s", tt.stream, rest, diff)
		}

		// Split anywhere, only a \n that ends a \r\n may move to the next event.
		events, rest = allEvents(t, iotest.OneByteReader(strings.NewReader(tt.stream)))
		norm := func(s []string) string { return strings.ReplaceAll(strings.Join(s, "|"), "\r|\n", "\r\n|") }
		if got, want := norm(append(events, rest)), norm(append(tt.want, tt.rest)); got != want {
			t.Errorf("%q byte by byte: got %q, want %q", tt.stream, got, want)
		}
	}
}

func TestAnEventIsNotHeldBackForTheSecondHalfOfItsLineEnd(t *testing.T) {
	e := NewEvents(&reads{texts: []string{"data: a\r\n\r", "\ndata: b\r\n\r\n"}})
	defer e.Release()
	_ = e.fill(MaxEvent)
	if got, _ := e.next(); string(got) != "data: a\r\n\r" {
		t.Errorf("after the first read: %q", got)
	}
	_ = e.fill(MaxEvent)
	if got, _ := e.next(); string(got) != "\ndata: b\r\n\r\n" {
		t.Errorf("after the second read: %q", got)
	}
}

func TestLongEventsPassInPiecesOfBoundedSize(t *testing.T) {
	long := "data: " + strings.Repeat("x", 5<<20) + "\n\n"
	for name, r := range map[string]io.Reader{
		"at once":   strings.NewReader("data: a\n\n" + long + "data: b\n\n"),
		"1000 each": &reads{texts: chunked("data: a\n\n"+long+"data: b\n\n", 1000)},
	} {
		e := NewEvents(r)
		var got bytes.Buffer
		pieces, whole := 0, []string{}
		for {
			for {
				block, p := e.next()
				if p == noPart {
					break
				}
				got.Write(block)
				if p == longPart {
					pieces++
				} else {
					whole = append(whole, string(block))
				}
			}
			if e.fill(MaxEvent) != nil {
				break
			}
			if len(e.buf) > MaxEvent {
				t.Fatalf("%s: a buffer of %d bytes", name, len(e.buf))
			}
		}
		if got.String() != "data: a\n\n"+long+"data: b\n\n" {
			t.Errorf("%s: bytes were changed", name)
		}
		if diff := cmp.Diff([]string{"data: a\n\n", "data: b\n\n"}, whole); diff != "" || pieces < 2 {
			t.Errorf("%s: %d pieces, (-want +got)\n%s", name, pieces, diff)
		}
		e.Release()
		e.Release()
	}
}

func chunked(s string, size int) (texts []string) {
	for len(s) > size {
		texts = append(texts, s[:size])
		s = s[size:]
	}
	return append(texts, s)
}

const (
	azureFirst = `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}` + "\n\n"
	roleDelta  = `data: {"id":"c1","created":7,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}` + "\n\n"
)

func TestPeekWaitsForContentOrAnError(t *testing.T) {
	broken := errors.New("connection reset")
	type result struct {
		Status int
		Body   string
		Err    error
	}
	for _, tt := range []struct {
		name, stream string
		readErr      error
		want         result
	}{
		{name: "text", stream: azureFirst + ": wait\n\n" + roleDelta + `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n\n", readErr: broken},
		{name: "azure's first event only", stream: azureFirst, want: result{Err: io.ErrUnexpectedEOF}},
		{name: "role only", stream: azureFirst + roleDelta, readErr: broken, want: result{Err: broken}},
		{name: "nothing", want: result{Err: io.ErrUnexpectedEOF}},
		{name: "comments and blank lines", stream: ": a\n\n\n\n: b\n\ndata:\n\n", want: result{Err: io.ErrUnexpectedEOF}},
		{name: "half an event", stream: `data: {"choices":[{"delta":{"con`, readErr: broken, want: result{Err: broken}},
		{name: "not a stream", stream: `{"error":{"code":"500"}}`, want: result{Err: io.ErrUnexpectedEOF}},
		{name: "empty choices without filter results", stream: "data: {\"choices\":[]}\n\n"},
		{name: "usage", stream: "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n"},
		{name: "done", stream: "data:[DONE]\n\n"},
		{name: "done without end", stream: azureFirst + "data: [DONE]"},
		{name: "finish reason", stream: `data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}]}` + "\n\n"},
		{name: "tool call", stream: `data: {"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0}]}}]}` + "\n\n"},
		{name: "refusal", stream: `data: {"choices":[{"delta":{"role":"assistant","refusal":"no"}}]}` + "\n\n"},
		{name: "reasoning", stream: `data: {"choices":[{"delta":{"role":"assistant","reasoning_content":"hm"}}]}` + "\n\n"},
		{name: "second choice", stream: `data: {"choices":[{"delta":{"role":"assistant"}},{"index":1,"delta":{"content":"b"}}]}` + "\n\n"},
		{name: "completions", stream: `data: {"choices":[{"text":"a"}]}` + "\n\n"},
		{name: "completions, empty", stream: `data: {"choices":[{"text":""}]}` + "\n\n", want: result{Err: io.ErrUnexpectedEOF}},
		{name: "another API", stream: "event: response.created\ndata: {\"type\":\"response.created\"}\n\n"},
		{name: "not JSON", stream: "data: hello\n\n"},
		{
			name: "error", stream: azureFirst + `data: {"error":{"code":"429","message":"busy"}}` + "\n\n",
			want: result{Status: 429, Body: `{"error":{"code":"429","message":"busy"}}`},
		},
		{name: "error by type", stream: `data: {"error":{"type":"server_error","code":null}}` + "\r\n\r\n", want: result{Status: 500, Body: `{"error":{"type":"server_error","code":null}}`}},
		{name: "error by number", stream: `data: {"error":{"code":"content_filter","status":400}}` + "\n\n", want: result{Status: 400, Body: `{"error":{"code":"content_filter","status":400}}`}},
		{name: "error as text", stream: `data: {"error":"out of memory"}` + "\n\n", want: result{Body: `{"error":"out of memory"}`}},
		{name: "error event", stream: "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}\n\n", want: result{Status: 429, Body: `{"type":"error","code":"rate_limit_exceeded"}`}},
		{name: "error event in words", stream: "event:error\ndata: sorry\ndata: really\n\n", want: result{Body: "sorry\nreally"}},
		{name: "error without end", stream: `data: {"error":{"code":503}}`, want: result{Status: 503, Body: `{"error":{"code":503}}`}},
		{name: "no error", stream: `data: {"error":null,"choices":[{"delta":{"content":"{\"error\":{}}"}}]}` + "\n\n"},
	} {
		for _, size := range []int{1 << 20, 1} {
			e := NewEvents(&reads{texts: chunked(tt.stream, size), err: tt.readErr})
			err := e.Peek(8 << 10)
			got := result{}
			var stream *StreamError
			if errors.As(err, &stream) {
				got = result{Status: stream.Status, Body: string(stream.Body)}
			} else if !errors.Is(err, tt.want.Err) || err != nil && tt.want.Err == nil {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want.Err)
			}
			if got.Status != tt.want.Status || got.Body != tt.want.Body {
				t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
			}
			if e.start != 0 || string(e.buf[:e.end]) != tt.stream[:e.end] {
				t.Errorf("%s: something was passed on", tt.name)
			}
			e.Release()
		}
	}
}

func TestPeekKeepsNoMoreThanItsLimit(t *testing.T) {
	for _, limit := range []int{100, 5000, 200_000} {
		e := NewEvents(strings.NewReader(strings.Repeat(azureFirst, 2000)))
		if err := e.Peek(limit); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		if e.end < limit || e.end > max(limit, firstBuffer) {
			t.Errorf("limit %d: %d bytes kept", limit, e.end)
		}
		e.Release()
	}
}

func TestAReaderThatBringsNothingIsGivenUp(t *testing.T) {
	e := NewEvents(&reads{texts: make([]string, 1000)})
	defer e.Release()
	if err := e.Peek(100); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
}
