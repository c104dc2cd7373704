package openai

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzRelay relays arbitrary bytes in arbitrary pieces.
func FuzzRelay(f *testing.F) {
	for _, s := range []string{
		azureFirst + roleDelta + textA + textB + stop + usage + done, strings.ReplaceAll(textA+stop+done, "\n", "\r\n"), "data: a\r\rdata: b\n\r\n: c",
		"data: [DONE]", "data:[DONE]\n\r\r", "data: [DONE]\n\ndata: 1\n\n", "data: {\"error\":{}}\n\n", "event: error\n\n", "data: {\"choices\":[{\"index\":99999999999999999999}]}\n\n", "data: \"\\ud83d\n\n",
	} {
		f.Add([]byte(s), uint8(3), true, uint16(10))
	}
	f.Add([]byte("\r\n"), uint8(0), true, uint16(0))
	for _, s := range []string{
		named(append(respSpoken, respEnd("completed", "null", respSaid))...), named(respCreated, respTextDone, respItemDone, respEnd("incomplete", `{"reason":"content_filter"}`, respThinking+","+respSaid)),
		named(respMessage, respTextA, `{"type":"response.failed","response":{"error":{"code":429}}}`), named(respCreated, `{"type":"error","code":"x"}`),
		named(`{"type":"response.output_item.done","output_index":9007199254740992,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}`, `{"type":"response.function_call_arguments.delta","delta":"\ud83d"}`),
		"data: {\"type\":\"response.\",\"item\":[],\"response\":{\"output\":{}}}\n\n", "data: {\"object\":\"response\",\"status\":\"failed\",\"output\":[{},[],1]}\n\n",
	} {
		f.Add([]byte(s), uint8(200), false, uint16(40))
	}
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, chat bool, keep uint16) {
		texts := chunked(string(stream), int(size)+1)
		e := NewEvents(&reads{texts: texts})
		defer e.Release()
		w := &client{}
		got, err := Relay(w, e, Options{Chat: chat, Keep: int(keep)})
		out := w.got.Bytes()
		if !bytes.HasPrefix(stream, out) {
			t.Fatalf("%q became %q", stream, out)
		}
		if len(e.buf) > MaxEvent {
			t.Fatalf("a buffer of %d bytes", len(e.buf))
		}
		if got.Whole != (err == nil) || got.Bytes != int64(len(out)) {
			t.Fatalf("%q: error %v, completion %+v", stream, err, got)
		}
		split := splitter{}
		complete := 0
		for end := split.next(stream); end >= 0; end = split.next(stream) {
			block := stream[complete:end]
			complete = end
			if _, data := new(Events).fields(block, split.single); isDone(data) {
				break // what follows is no part of the answer
			}
		}
		if bytes.HasSuffix(stream[:complete], []byte("\r\n")) && bytes.HasSuffix(out, []byte("\r")) {
			complete-- // the event was not held back for the \n, and then the stream broke
		}
		if len(out) < complete {
			t.Fatalf("%q: events were lost: %q", stream, out)
		}
		kept := 0
		for _, c := range got.Choices {
			kept += len(c.Text) + len(c.Refusal)
			for _, call := range c.ToolCalls {
				kept += len(call.Arguments)
			}
		}
		if kept > 3*int(keep)+3 { // a byte that is not UTF-8 becomes three
			t.Fatalf("%q: %d bytes kept, asked for %d", stream, kept, keep)
		}

		peeked := NewEvents(&reads{texts: chunked(string(stream), int(size)+1)})
		defer peeked.Release()
		_ = peeked.Peek(int(keep))
		if peeked.start != 0 || !bytes.HasPrefix(stream, peeked.buf[:peeked.end]) {
			t.Fatalf("%q: Peek passed something on", stream)
		}
	})
}

func BenchmarkRelayEvent(b *testing.B) {
	event := `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1715000000,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	for name, keep := range map[string]int{"keep0": 0, "keep64k": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			stream := strings.Repeat(event, 1000)
			src := strings.NewReader(stream)
			w := &client{noNotes: true}
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			for n := 0; n < b.N; n += 1000 {
				src.Reset(stream)
				e := NewEvents(src)
				_, _ = Relay(w, e, Options{Keep: keep, Chat: true})
				e.Release()
			}
		})
	}
}
