package cache

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"aigateway/openai"
)

// maxEntry is the largest entry that is stored. A model's longest answers, of
// 128,000 tokens, have some 600 kB; with several choices some megabytes.
const maxEntry = 8 << 20

// Store keeps the answer to a request that missed; requestID names that
// request. answer is the object that the endpoint answered or would have
// answered unstreamed, done what is known of it, marks the pace at which it
// came (nil when it was not streamed). Store copies what it keeps and never
// blocks: the answer waits to be written by Run, or is dropped and counted
// when too many wait.
//
// Kept are answers that ended by themselves and are text and nothing else:
// every choice has the finish reason "stop". An answer that was cut, filtered,
// refused or kept only in part, that calls a tool or is empty, is passed over;
// so is everything beside a nil Cache or Miss, and one that was not to be
// stored.
func (c *Cache) Store(m *Miss, requestID string, done *openai.Completion, answer, marks []byte) {
	if c == nil || m == nil || m.from != c || !storable(done, answer) {
		return
	}
	now := c.pool.now().UTC().Truncate(time.Microsecond) // what databases keep
	e := &Entry{
		App: c.App, Key: m.key, RequestID: requestID, Scope: readable(m.scope),
		Answer: bytes.Clone(answer), Marks: bytes.Clone(marks),
		Created: now, Used: now,
	}
	if m.embedding.Vector != nil {
		e.Bucket, e.Text, e.Vector, e.Model = m.bucket, m.text, m.embedding.Vector, readable(m.embedding.Model)
	}
	if size := e.Size(); size > maxEntry || size > c.MaxBytes {
		return
	}
	held := c.pool.recent.keep(e, now, c.book, m.generation)
	if !c.pool.queue.put(waiting{entry: e, held: held, book: c.book, generation: m.generation}) {
		c.pool.recent.drop(held)
	}
}

// storable reports that an answer is one that may be given again.
func storable(done *openai.Completion, answer []byte) bool {
	if done == nil || !done.Whole || done.Truncated || len(done.Choices) == 0 {
		return false
	}
	for _, ch := range done.Choices {
		if ch.FinishReason != "stop" || ch.Text == "" || ch.Refusal != "" || ch.Other || len(ch.ToolCalls) > 0 {
			return false
		}
	}
	// One that the database would refuse would take its whole batch with it.
	return openai.LooksLikeJSONObject(answer) && json.Valid(answer) && utf8.Valid(answer)
}
