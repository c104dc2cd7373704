package openai

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func noWait(context.Context, time.Duration) error { return nil }

var durations = rapid.Custom(func(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64().Draw(t, "nanoseconds"))
})

// replayed returns what Replay did with a text: for each write the text in it,
// and the pauses between, in order.
func replayed(t *testing.T, text string, o ReplayOptions) (calls []string) {
	t.Helper()
	w := &client{}
	o.Stream = true
	o.Wait = func(_ context.Context, pause time.Duration) error {
		w.note("wait " + pause.String())
		return nil
	}
	c := Completion{Choices: []Choice{{Text: text, FinishReason: "stop"}, {Index: 1, Text: "(other)", FinishReason: "stop"}}}
	if err := Replay(t.Context(), w, c.JSON("chat/completions"), o); err != nil {
		t.Fatal(err)
	}
	for _, call := range w.calls {
		written, ok := strings.CutPrefix(call, "write ")
		if !ok {
			calls = append(calls, call)
			continue
		}
		var b strings.Builder
		for event := range strings.SplitSeq(written, "\n\n") {
			if _, after, ok := strings.Cut(event, `"content":"`); ok {
				inside, _, _ := strings.Cut(after, `"`)
				b.WriteString("[" + inside + "]")
			}
		}
		calls = append(calls, b.String())
	}
	return calls
}

func TestPacedReplayFollowsTheMarks(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, text string
		o          ReplayOptions
		want       []string
	}{
		{
			"as it came", "Hello, you",
			ReplayOptions{Speed: 1, Marks: []Mark{{100 * ms, 5}, {150 * ms, 7}, {150 * ms, 10}}},
			[]string{"[][]", "flush", "wait 100ms", "[Hello]", "flush", "wait 50ms", "[, ][you][(other)]", "flush", "", "flush"},
		},
		{
			"at once after the role", "Hello",
			ReplayOptions{Speed: 1, Marks: []Mark{{0, 5}}},
			[]string{"[][][Hello][(other)]", "flush", "", "flush"},
		},
		{
			"twice as quick", "Hello",
			ReplayOptions{Speed: 2, Marks: []Mark{{100 * ms, 2}, {150 * ms, 5}}},
			[]string{"[][]", "flush", "wait 50ms", "[He]", "flush", "wait 25ms", "[llo][(other)]", "flush", "", "flush"},
		},
		{
			"long pauses are cut", "Hello",
			ReplayOptions{Speed: 0.5, Marks: []Mark{{900 * ms, 2}, {time.Hour, 5}}},
			[]string{"[][]", "flush", "wait 1.8s", "[He]", "flush", "wait 2s", "[llo][(other)]", "flush", "", "flush"},
		},
		{
			"to what is asked for", "Hello",
			ReplayOptions{Speed: 1, MaxPause: 7 * ms, Marks: []Mark{{900 * ms, 2}, {time.Hour, 5}}},
			[]string{"[][]", "flush", "wait 7ms", "[He]", "flush", "wait 7ms", "[llo][(other)]", "flush", "", "flush"},
		},
		{
			"short pauses are put together", "Hello",
			ReplayOptions{Speed: 10, Marks: []Mark{{4 * ms, 1}, {8 * ms, 2}, {12 * ms, 3}, {16 * ms, 4}}},
			[]string{"[][][H][e]", "flush", "wait 1.2ms", "[l][l][o][(other)]", "flush", "", "flush"},
		},
		{
			"no character is cut", "aé😀",
			ReplayOptions{Speed: 1, Marks: []Mark{{ms, 2}, {2 * ms, 3}, {3 * ms, 5}, {4 * ms, 6}, {5 * ms, 7}}},
			[]string{"[][]", "flush", "wait 1ms", "[a]", "flush", "wait 1ms", "[é]", "flush", "wait 3ms", "[😀][(other)]", "flush", "", "flush"},
		},
		{
			"marks that are not of this text", "Hello",
			ReplayOptions{Speed: 1, Marks: []Mark{{9 * ms, 4}, {5 * ms, 2}, {10 * ms, -7}, {-ms, 99}}},
			[]string{"[][]", "flush", "wait 9ms", "[Hell]", "flush", "wait 1ms", "[o][(other)]", "flush", "", "flush"},
		},
		{
			"without marks", "sixteen bytes - and more",
			ReplayOptions{Speed: 1},
			[]string{"[][][sixteen bytes - ]", "flush", "wait 40ms", "[and more][(other)]", "flush", "", "flush"},
		},
		{
			"without marks in other pieces", "Hello",
			ReplayOptions{Speed: 4, Chunk: 2},
			[]string{"[][][He]", "flush", "wait 10ms", "[ll]", "flush", "wait 10ms", "[o][(other)]", "flush", "", "flush"},
		},
		{"no text", "", ReplayOptions{Speed: 1, Marks: []Mark{{time.Second, 9}}}, []string{"[][][(other)]", "flush", "", "flush"}},
	} {
		if diff := cmp.Diff(tt.want, replayed(t, tt.text, tt.o)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestPacedReplayTakesAsLongAsTheMarksSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var marks []Mark
		at := time.Duration(0)
		for i := range rapid.IntRange(1, 200).Draw(rt, "marks") {
			at += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(rt, "pause"))
			marks = append(marks, Mark{At: at, Text: i + 1})
		}
		speed := rapid.SampledFrom([]float64{0.5, 1, 2, 7, 1000}).Draw(rt, "speed")
		c := Completion{Choices: []Choice{{Text: strings.Repeat("x", len(marks))}}}
		took := time.Duration(0)
		err := Replay(t.Context(), &client{noNotes: true}, c.JSON(""), ReplayOptions{
			Stream: true, Marks: marks, Speed: speed,
			Wait: func(_ context.Context, pause time.Duration) error { took += pause; return nil },
		})
		want := time.Duration(float64(at) / speed)
		if off := want - took; err != nil || off < -time.Microsecond || off > leastPause+time.Microsecond {
			rt.Fatalf("error %v, took %v, want %v", err, took, want)
		}
	})
}

func TestPaceWithoutMarksIsBounded(t *testing.T) {
	var took time.Duration
	w := &client{}
	c := Completion{Choices: []Choice{{Text: strings.Repeat("x", 1<<20)}}}
	err := Replay(t.Context(), w, c.JSON(""), ReplayOptions{
		Stream: true, Speed: 1,
		Wait: func(_ context.Context, pause time.Duration) error { took += pause; return nil },
	})
	if err != nil || took > 10*time.Second || took < 9*time.Second {
		t.Errorf("error %v, took %v", err, took)
	}
}

func TestPacedReplayEndsWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		w := &client{}
		c := Completion{Choices: []Choice{{Text: "abc", FinishReason: "stop"}}}
		begin := time.Now()
		done := false
		err := Replay(ctx, w, c.JSON(""), ReplayOptions{
			Stream: true, Speed: 1, Marks: []Mark{{time.Second, 1}, {2 * time.Second, 2}, {3 * time.Second, 3}},
			BeforeDone: func() { done = true },
		})
		var gone *ClientError
		if !errors.As(err, &gone) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if got := w.got.String(); !strings.Contains(got, `"a"`) || strings.Contains(got, `"b"`) || done {
			t.Errorf("BeforeDone called: %v, got %s", done, got)
		}
	})
}

func TestPacedReplayWaitsByTheSystemsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Completion{Choices: []Choice{{Text: "abc", FinishReason: "stop"}}}
		begin := time.Now()
		err := Replay(t.Context(), &client{}, c.JSON(""), ReplayOptions{Stream: true, Speed: 2, Marks: []Mark{{time.Second, 1}, {3 * time.Second, 3}}})
		if took := time.Since(begin); took != 1500*time.Millisecond || err != nil {
			t.Errorf("error %v, took %v", err, took)
		}
	})
}

// unflushable is a ResponseWriter that cannot flush.
type unflushable struct{ http.ResponseWriter }

func TestReplayPassesOnAFlushThatFails(t *testing.T) {
	w := &client{}
	if err := Replay(t.Context(), unflushable{w}, []byte(storedChat), ReplayOptions{Stream: true, Speed: 1}); err != nil {
		t.Errorf("a writer that cannot flush: %v", err)
	}
	broken := &brokenFlush{client: client{}}
	err := Replay(t.Context(), broken, []byte(storedChat), ReplayOptions{Stream: true, Speed: 1})
	var gone *ClientError
	if !errors.As(err, &gone) {
		t.Errorf("a flush that fails: %v", err)
	}
}

type brokenFlush struct{ client }

func (*brokenFlush) FlushError() error { return errors.New("broken pipe") }
