package openai

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// timed brings texts, each at its time.
type timed struct {
	texts []string
	at    []time.Duration
	now   time.Time
	begin time.Time
}

func (r *timed) Read(p []byte) (int, error) {
	if len(r.texts) == 0 {
		return 0, io.EOF
	}
	if r.begin.IsZero() {
		r.begin = r.now
	}
	r.now = r.begin.Add(r.at[0])
	n := copy(p, r.texts[0])
	if r.texts[0] = r.texts[0][n:]; r.texts[0] == "" {
		r.texts, r.at = r.texts[1:], r.at[1:]
	}
	return n, nil
}

func said(index, content string) string {
	return `data: {"choices":[{"index":` + index + `,"delta":{"content":"` + content + `"}}]}` + "\n\n"
}

func TestRelayMarksWhenTextCame(t *testing.T) {
	const ms = time.Millisecond
	texts := []string{
		": hi\n\n", roleDelta, said("0", "Hello"), said("1", "other"), filter,
		said("0", ", ") + said("0", `\u00e9`) + said("1", "more"), said("0", "!")[:20], said("0", "!")[20:], stop, done,
	}
	at := []time.Duration{5 * ms, 20 * ms, 120*ms + 1500, 130 * ms, 140 * ms, 150 * ms, 160 * ms, 170 * ms, 500 * ms, 600 * ms}
	want := []Mark{{100*ms + time.Microsecond, 5}, {130 * ms, 7}, {130 * ms, 9}, {150 * ms, 10}}
	for _, tt := range []struct {
		name  string
		keep  int
		clock bool
		want  []Mark
	}{
		{"all", 100, true, want},
		{"what is kept", 5, true, want[:1]},
		{"nothing kept", 0, true, nil},
		{"no clock", 100, false, nil},
	} {
		src := &timed{texts: append([]string(nil), texts...), at: at, now: time.Unix(1, 0)}
		e := NewEvents(src)
		o := Options{Chat: true, Keep: tt.keep}
		if tt.clock {
			o.Now = func() time.Time { return src.now }
		}
		got, err := Relay(&client{}, e, o)
		e.Release()
		if diff := cmp.Diff(tt.want, got.Marks); diff != "" || err != nil {
			t.Errorf("%s: error %v, (-want +got)\n%s", tt.name, err, diff)
		}
	}
}

func TestBeforeDoneSeesTheMarks(t *testing.T) {
	e := NewEvents(strings.NewReader(said("0", "Hello") + stop + done))
	defer e.Release()
	var got []Mark
	_, err := Relay(&client{}, e, Options{
		Keep: 100, Now: func() time.Time { return time.Unix(9, 0) },
		BeforeDone: func(c *Completion) { got = c.Marks },
	})
	if diff := cmp.Diff([]Mark{{0, 5}}, got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got)\n%s", err, diff)
	}
}

func TestMarksOfALongAnswerBecomeFewerAndStayEven(t *testing.T) {
	for _, events := range []int{maxMarks - 1, maxMarks, maxMarks + 1, 2 * maxMarks, 2*maxMarks + 1, 100_000} {
		m := marker{now: func() time.Time { return time.Time{} }, begun: time.Unix(1, 0)}
		most := 0
		for i := 1; i <= events; i++ {
			m.read = m.begun.Add(time.Duration(i) * time.Millisecond)
			m.note(i)
			most = max(most, len(m.list))
		}
		if most > maxMarks || events >= maxMarks && len(m.list) < maxMarks/2 {
			t.Errorf("%d events: %d marks, at most %d", events, len(m.list), most)
		}
		for i, mark := range m.list {
			to := min((i+1)*m.each, events)
			if want := (Mark{At: time.Duration(to) * time.Millisecond, Text: to}); mark != want {
				t.Errorf("%d events: mark %d is %v, want %v", events, i, mark, want)
				break
			}
		}
		if last := m.list[len(m.list)-1].Text; last != events {
			t.Errorf("%d events: the last mark is at %d", events, last)
		}
	}
}

func TestMarksAreDecodedAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []Mark
		var at, text int64
		for range rapid.IntRange(0, 50).Draw(t, "marks") {
			at += rapid.Int64Range(0, 1<<40).Draw(t, "pause")
			text += rapid.Int64Range(0, 1<<40).Draw(t, "more")
			want = append(want, Mark{At: time.Duration(at) * time.Microsecond, Text: int(text)})
		}
		got, err := DecodeMarks(EncodeMarks(want))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("error %v, (-want +got)\n%s", err, diff)
		}
	})
}

func TestEncodeMarksIsCompactAndMendsWhatGoesBackwards(t *testing.T) {
	got := EncodeMarks([]Mark{{-5, -5}, {20 * time.Millisecond, 4}, {time.Millisecond, 2}, {40 * time.Millisecond, 8}})
	if diff := cmp.Diff([]byte{0, 0, 0xa0, 0x9c, 0x01, 4, 0, 0, 0xa0, 0x9c, 0x01, 4}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := EncodeMarks(nil); got != nil {
		t.Errorf("no marks are %v", got)
	}
}

func TestDecodeMarksRefusesWhatIsCorrupt(t *testing.T) {
	whole := EncodeMarks([]Mark{{math.MaxInt64, math.MaxInt}})
	if _, err := DecodeMarks(whole); err != nil {
		t.Errorf("the greatest mark: %v", err)
	}
	for name, b := range map[string][]byte{
		"half":             whole[:len(whole)-1],
		"text missing":     {5},
		"varint too long":  []byte(strings.Repeat("\xff", 10) + "\x01\x00"),
		"time overflows":   append(whole[:len(whole):len(whole)], 1, 0),
		"length overflows": append(whole[:len(whole):len(whole)], 0, 1),
		"too many":         make([]byte, 2*maxMarks+2),
	} {
		if got, err := DecodeMarks(b); err == nil || got != nil {
			t.Errorf("%s: %d marks, error %v", name, len(got), err)
		}
	}
}

func FuzzDecodeMarks(f *testing.F) {
	f.Add([]byte{1, 2, 0x80, 1, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := DecodeMarks(b)
		if err != nil {
			return
		}
		var last Mark
		for _, m := range marks {
			if m.At < last.At || m.Text < last.Text {
				t.Fatalf("%x goes backwards: %v", b, marks)
			}
			last = m
		}
		again, err := DecodeMarks(EncodeMarks(marks))
		if diff := cmp.Diff(marks, again); diff != "" || err != nil {
			t.Fatalf("%x: %v\n%s", b, err, diff)
		}
	})
}
