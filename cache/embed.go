package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// maxWidth is the widest vector taken: pgvector's vector type ends there.
const maxWidth = 16_000

// Embedding is a text as a vector.
type Embedding struct {
	Vector []float32 // shared by many, never changed
	Model  string    // that made it, as the endpoint names it
}

// Embedder makes embeddings. It must return when its context is over, and the
// vector must not be changed afterwards.
type Embedder func(ctx context.Context, text string) (Embedding, error)

// check tells what makes an embedding useless for comparing.
func (e Embedding) check() error {
	if n := len(e.Vector); n == 0 || n > maxWidth {
		return fmt.Errorf("the embedding is %d wide; 1 to %d can be used", n, maxWidth)
	}
	zero := true
	for _, x := range e.Vector {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return errors.New("the embedding has a number that is not finite")
		}
		zero = zero && x == 0
	}
	if zero {
		return errors.New("the embedding is all zero")
	}
	return nil
}

// embeddings remembers the embeddings of texts, and makes each only once at a
// time.
type embeddings struct {
	mu     sync.Mutex
	memo   *lru[Hash, Embedding]
	flying map[Hash]*flight

	made, shared, remembered, failed atomic.Int64
}

// flight is an embedding being made. The others wait for done.
type flight struct {
	done      chan struct{}
	embedding Embedding // these two are set before done is closed
	err       error
}

func newEmbeddings(bytes int64) *embeddings {
	return &embeddings{memo: newLRU[Hash, Embedding](bytes, nil), flying: map[Hash]*flight{}}
}

// of returns the embedding of a text by the embedder with a name. The first
// who asks for it works for all who ask meanwhile, and goes on when its own
// client leaves. remember keeps what was made for later.
func (es *embeddings) of(ctx context.Context, by Embedder, name, text string, limit time.Duration, remember bool) (Embedding, error) {
	id := textID(name, text)
	es.mu.Lock()
	if e, ok := es.memo.get(id); ok {
		es.mu.Unlock()
		es.remembered.Add(1)
		return e, nil
	}
	if f := es.flying[id]; f != nil {
		es.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		select {
		case <-f.done:
			if f.err == nil {
				es.shared.Add(1)
			}
			return f.embedding, f.err
		case <-ctx.Done():
			return Embedding{}, fmt.Errorf("waiting for an embedding: %w", ctx.Err())
		}
	}
	f := &flight{done: make(chan struct{}), err: errors.New("the embedder panicked")}
	es.flying[id] = f
	es.mu.Unlock()
	defer es.land(id, f, remember)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	e, err := by(ctx, text)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		f.err = fmt.Errorf("making an embedding: %w", err)
		return Embedding{}, f.err
	}
	f.embedding, f.err = e, nil
	return e, nil
}

// land tells all who wait how a flight ended.
func (es *embeddings) land(id Hash, f *flight, remember bool) {
	if f.err == nil {
		es.made.Add(1)
	} else {
		es.failed.Add(1)
	}
	es.mu.Lock()
	delete(es.flying, id)
	if f.err == nil && remember {
		es.memo.put(id, f.embedding, int64(4*len(f.embedding.Vector)+len(f.embedding.Model))+embeddingOverhead)
	}
	es.mu.Unlock()
	close(f.done)
}

// embeddingOverhead is what a remembered embedding costs beside its vector:
// its id twice, links, slice and string headers, its share of the map.
const embeddingOverhead = 192

func (es *embeddings) size() (n int, bytes int64) {
	es.mu.Lock()
	defer es.mu.Unlock()
	return len(es.memo.items), es.memo.bytes
}

// textID names a text to be embedded by an embedder.
func textID(embedder, text string) Hash {
	b := make([]byte, 0, binary.MaxVarintLen64+len(embedder)+len(text))
	b = appendBounded(b, embedder)
	b = append(b, text...)
	return sha256.Sum256(b)
}

// appendBounded appends a string with its length in front, so that what
// follows cannot be taken for a part of it.
func appendBounded(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
