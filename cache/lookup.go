package cache

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"aigateway/cache/guard"
	"aigateway/openai"
)

// Layers of the cache.
const (
	Exact    = "exact"
	Semantic = "semantic"
)

// candidates is how many near entries are looked at: the nearest may ask for
// something else, see package guard.
const candidates = 5

// Control is what a request says about its own caching.
type Control struct {
	NoRead  bool // it wants a new answer
	NoStore bool // its answer is not to be kept, nor its embedding
	// MaxAge is the oldest answer that it takes. Below 0 it takes any; 0, which
	// the zero value has too, takes only one made in this very moment.
	MaxAge time.Duration
	Why    string // the Reason for NoRead or NoStore; "no-cache" or "no-store" when empty
}

// Hit is an answer that is there.
type Hit struct {
	Entry *Entry  // not to be changed; ID is 0 for the moment until it is stored
	Layer string  // Exact or Semantic
	Score float64 // by the application's metric; of the exact layer 1, by Euclid 0
	Age   time.Duration
}

// Miss is a question that has to be asked elsewhere. It refers to nothing of
// the request.
type Miss struct {
	// Reason is one word of a closed set. When the cache was asked:
	// "miss", "no-store", "guard:" and a reason of package guard for a near
	// question that means something else, "embedding-failed",
	// "store-unavailable", "canceled". When it was not, and Bypass is true:
	// "off", "no-cache", "content" for content beside text, "no-tenant",
	// "no-caller" and "no-user" for a scope that the asker is not known to
	// belong to, or Control.Why.
	Reason string
	Bypass bool

	from       *Cache // nil when nothing is to be stored
	generation int64
	key        Hash
	bucket     Hash
	scope      string
	text       string
	embedding  Embedding
}

// Storable reports whether the answer is worth keeping for Store. Of a nil Miss
// it is not.
func (m *Miss) Storable() bool { return m != nil && m.from != nil }

func bypass(reason string) *Miss { return &Miss{Reason: reason, Bypass: true} }

// Lookup returns the answer to a request if there is one, else the Miss to
// store one with: exactly one is not nil. operation is what is asked of the
// endpoint, such as "chat/completions". A fault of the embedder or the
// database is a Miss that says so: after one at the exact layer nothing is
// stored, after one of the embedder the answer is stored for the exact layer
// only.
func (c *Cache) Lookup(ctx context.Context, req *openai.Request, operation string, who Asker, ctl Control) (*Hit, *Miss) {
	switch {
	case c == nil:
		return nil, bypass("off")
	case ctl.NoRead && ctl.NoStore:
		return nil, bypass(cmp.Or(ctl.Why, "off"))
	}
	place, scope, why := c.place(operation, who)
	if why != "" {
		return nil, bypass(why)
	}
	r := readers.Get().(*reader)
	fingerprint, ok := r.read(req)
	if !ok {
		r.release()
		return nil, bypass("content")
	}
	key := r.key(place, fingerprint)
	l := look{
		Cache: c, ctl: ctl, key: key,
		generation: c.book.generation.Load(), left: c.LookupTimeout, now: c.pool.now(),
	}
	l.since = l.oldest()
	if !ctl.NoRead {
		if e := l.remembered(); e != nil {
			r.release()
			return l.hit(e, Exact, l.equal()), nil
		}
	}
	text := ""
	if c.embeds(req.HasMessages) {
		text = r.text()
	}
	r.release()

	m := &Miss{Reason: "miss", generation: l.generation, key: key, scope: scope, text: text}
	if ctl.NoRead {
		m.Reason, m.Bypass = cmp.Or(ctl.Why, "no-cache"), true
	}
	if ctl.NoStore {
		m.Reason = cmp.Or(ctl.Why, "no-store")
	} else {
		m.from = c
	}
	return l.ask(ctx, m, place, fingerprint)
}

// ask looks into the database: for the exact key, then for what is near.
func (l *look) ask(ctx context.Context, m *Miss, place, fingerprint Hash) (*Hit, *Miss) {
	if !l.ctl.NoRead {
		e, err := l.stored(ctx)
		switch {
		case err != nil:
			m.Reason, m.from = l.fault(ctx), nil
			return nil, m
		case e != nil:
			return l.hit(e, Exact, l.equal()), nil
		}
	}
	if m.text == "" {
		return nil, m
	}
	embedding, err := l.pool.embeddings.of(ctx, l.Embed, l.EmbedKey, m.text, l.EmbedTimeout, !l.ctl.NoStore)
	if err != nil {
		if !m.Bypass {
			m.Reason = "embedding-failed"
		}
		return nil, m
	}
	m.embedding = embedding
	m.bucket = bucketOf(place, fingerprint, cmp.Or(embedding.Model, l.EmbedKey), len(embedding.Vector))
	if l.ctl.NoRead {
		return nil, m
	}
	e, score, why := l.nearest(ctx, m)
	if e == nil {
		m.Reason = cmp.Or(why, m.Reason)
		return nil, m
	}
	return l.hit(e, Semantic, score), nil
}

// look is one Lookup.
type look struct {
	*Cache
	ctl        Control
	key        Hash
	generation int64
	now        time.Time
	since      time.Time     // older entries are not taken
	left       time.Duration // of the time for the database
	stale      *Entry        // was found in memory, and has to be asked for
}

// oldest returns when the oldest entry that may be taken was made.
func (l *look) oldest() (since time.Time) {
	if l.Since != nil {
		since = l.Since(l.now)
	}
	if l.ctl.MaxAge >= 0 {
		if t := l.now.Add(-l.ctl.MaxAge); t.After(since) {
			since = t
		}
	}
	return since
}

// remembered returns the entry with the exact key from memory.
func (l *look) remembered() *Entry {
	e, stale := l.pool.recent.find(l.key, l.now)
	if stale {
		l.stale = e
	}
	if e == nil || stale || !l.takes(e) {
		return nil
	}
	return e
}

// takes reports that an entry is what it was found as, and not too old.
func (l *look) takes(e *Entry) bool { return e.App == l.App && !e.Created.Before(l.since) }

// stored returns the entry with the exact key from the database, nil when
// there is none that may be taken.
func (l *look) stored(ctx context.Context) (e *Entry, err error) {
	err = l.within(ctx, func(ctx context.Context) (err error) {
		e, err = l.pool.index.Get(ctx, l.App, l.key)
		return err
	})
	if err != nil && l.stale != nil {
		l.pool.recent.drop(l.stale)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case e.Key != l.key || e.App != l.App:
		return nil, nil
	}
	if e = l.pool.recent.keep(e, l.now, l.book, l.generation); !l.takes(e) {
		return nil, nil
	}
	return e, nil
}

// nearest returns the nearest entry that may answer a question, or why there
// is none if more can be said than that.
func (l *look) nearest(ctx context.Context, m *Miss) (e *Entry, score float64, why string) {
	var near []Near
	err := l.within(ctx, func(ctx context.Context) (err error) {
		near, err = l.pool.index.Nearest(ctx, Query{
			App: l.App, Bucket: m.bucket, Vector: m.embedding.Vector,
			Metric: l.Metric, Bound: l.Bound, Since: l.since, Limit: candidates,
		})
		return err
	})
	if err != nil {
		return nil, 0, l.fault(ctx)
	}
	for _, n := range near {
		if !l.isNear(n.Score) || n.Created.Before(l.since) {
			continue
		}
		if l.Guards {
			if ok, reason := guard.Agree(m.text, n.Text); !ok {
				why = cmp.Or(why, "guard:"+reason)
				continue
			}
		}
		e, err := l.entry(ctx, n.ID)
		switch {
		case errors.Is(err, ErrNotFound): // deleted in this moment
		case err != nil:
			return nil, 0, l.fault(ctx)
		case e.Bucket == m.bucket && l.takes(e):
			return e, n.Score, ""
		}
	}
	return nil, 0, why
}

// isNear reports that a score is beyond the bound. NaN is not.
func (l *look) isNear(score float64) bool {
	if l.Metric == Euclid {
		return score < l.Bound
	}
	return score > l.Bound && !math.IsInf(score, 1)
}

// entry returns the entry with an id, which the database has just named.
func (l *look) entry(ctx context.Context, id int64) (e *Entry, err error) {
	if e = l.pool.recent.withID(id); e != nil {
		return e, nil
	}
	err = l.within(ctx, func(ctx context.Context) (err error) {
		e, err = l.pool.index.Entry(ctx, l.App, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.pool.recent.keep(e, l.now, l.book, l.generation), nil
}

// within runs f in what is left of the time for the database.
func (l *look) within(ctx context.Context, f func(context.Context) error) error {
	begun := l.pool.now()
	ctx, cancel := context.WithTimeout(ctx, l.left)
	defer cancel()
	err := f(ctx)
	l.left -= l.pool.now().Sub(begun)
	return err
}

// fault counts that the database did not answer, and returns the reason.
func (l *look) fault(ctx context.Context) string {
	if ctx.Err() != nil { // the client has gone, the database may be well
		return "canceled"
	}
	l.pool.faults.Add(1)
	return "store-unavailable"
}

// equal is the score of equal texts.
func (l *look) equal() float64 {
	if l.Metric == Euclid {
		return 0
	}
	return 1
}

func (l *look) hit(e *Entry, layer string, score float64) *Hit {
	l.pool.uses.add(e, Use{ID: e.ID, Hits: 1, Last: l.now})
	return &Hit{Entry: e, Layer: layer, Score: score, Age: max(0, l.now.Sub(e.Created))}
}
