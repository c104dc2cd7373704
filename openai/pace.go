package openai

import (
	"cmp"
	"context"
	"time"
	"unicode/utf8"
)

const (
	// An answer that came without marks is replayed at the pace of a quick
	// model: some four tokens in each of 25 events in a second.
	defaultChunk = 16 // bytes
	chunkEvery   = 40 * time.Millisecond
	maxChunks    = int(10 * time.Second / chunkEvery)

	defaultMaxPause = 2 * time.Second
	// leastPause is not worth a timer: shorter ones are waited for together.
	leastPause = time.Millisecond
)

// pace sends the text of a choice piece by piece, each at its time.
func (r *replay) pace(ctx context.Context, ch *Choice) error {
	marks := r.Marks
	if len(marks) == 0 {
		marks = evenly(len(ch.Text), cmp.Or(max(r.Chunk, 0), defaultChunk))
	}
	sent, at := 0, time.Duration(0)
	for _, m := range marks {
		r.owed += r.pause(m.At - at)
		at = max(at, m.At)
		end := boundary(ch.Text, m.Text)
		if end <= sent {
			continue
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
		r.text(ch, "content", ch.Text[sent:end])
		sent = end
	}
	r.text(ch, "content", ch.Text[sent:])
	return nil
}

// pause returns how long a pause is at the speed asked for.
func (r *replay) pause(gap time.Duration) time.Duration {
	most := cmp.Or(max(r.MaxPause, 0), defaultMaxPause)
	if quick := float64(gap) / r.Speed; quick < float64(most) {
		return time.Duration(max(quick, 0))
	}
	return most
}

// wait sends what has gathered and waits for what is owed, once that is worth
// it.
func (r *replay) wait(ctx context.Context) error {
	if r.owed < leastPause {
		return nil
	}
	if err := r.send(); err != nil {
		return err
	}
	wait := r.Wait
	if wait == nil {
		wait = waitFor
	}
	pause := r.owed
	r.owed = 0
	if err := wait(ctx, pause); err != nil {
		return &ClientError{Err: err}
	}
	return nil
}

// waitFor waits by the system's clock.
func waitFor(ctx context.Context, pause time.Duration) error {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// evenly returns the marks of a text that comes in pieces of the same length.
func evenly(length, chunk int) []Mark {
	chunk = max(chunk, (length+maxChunks-1)/maxChunks)
	var marks []Mark
	for from := 0; from < length; from += min(chunk, length-from) {
		marks = append(marks, Mark{At: time.Duration(len(marks)) * chunkEvery, Text: from + min(chunk, length-from)})
	}
	return marks
}

// boundary returns the greatest position in text, at most n, where no character
// is cut.
func boundary(text string, n int) int {
	if n >= len(text) {
		return len(text)
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return max(n, 0)
}
