package cache

import (
	"context"
	"errors"
	"time"
)

// Index is what a database must do for the cache: package db/dbtest is its
// specification. All methods may be called at once.
//
// Metric and widths: Bucket already holds the embedding's model and width, so
// the vectors of one bucket can be compared.
type Index interface {
	// Get returns the entry with an exact key of an application, ErrNotFound
	// when there is none. Here and below the Vector of an entry is not read.
	Get(ctx context.Context, app string, key Hash) (*Entry, error)
	// Nearest returns at most q.Limit entries of one bucket whose measure is
	// beyond the bound, nearest first. They have ID, Text, Score and Created;
	// Get the rest by Entry.
	Nearest(ctx context.Context, q Query) ([]Near, error)
	// Entry returns an entry by its id, ErrNotFound when the application has
	// none with it.
	Entry(ctx context.Context, app string, id int64) (*Entry, error)
	// Add stores entries and sets their IDs. An entry with the application and
	// the key of one that is there replaces it, under a new id; of two equal
	// ones in the list the later stays.
	Add(ctx context.Context, entries []*Entry) error
	// Touch adds to the hit counts of entries, and moves their last use
	// forward; ids that are gone are passed over.
	Touch(ctx context.Context, uses []Use) error
	// List returns an application's entries, latest id first, at most limit,
	// with ids below before (0: from the latest).
	List(ctx context.Context, app string, before int64, limit int) ([]*Entry, error)
	// Delete deletes one entry, and reports whether it was there.
	Delete(ctx context.Context, app string, id int64) (bool, error)
	// Purge deletes at most limit entries of an application.
	Purge(ctx context.Context, app string, limit int) (int, error)
	// Expire deletes at most limit entries of an application that were created
	// before a time.
	Expire(ctx context.Context, app string, before time.Time, limit int) (int, error)
	// Trim deletes the entries of an application whose last use is longest
	// ago, at most limit, as long as it has more than most entries or their
	// Size adds up to more than bytes. It returns how many it deleted; fewer
	// than limit means that the application is within its bounds.
	Trim(ctx context.Context, app string, most int, bytes int64, limit int) (int, error)
}

// ErrNotFound says that there is no such entry.
var ErrNotFound = errors.New("no such cache entry")

// Hash is a SHA-256 digest.
type Hash [32]byte

// Entry is one answer that is kept.
type Entry struct {
	ID        int64
	App       string
	Key       Hash   // of the whole request as far as it shapes the answer: equal keys, equal answers
	RequestID string // of the request that was answered

	// Bucket is the digest of all that must be equal for an entry to be
	// compared by nearness: partition, embedding model and width, fingerprint.
	// Without a Vector the entry is of the exact layer only.
	Bucket Hash
	Scope  string    // who shares the entry, for people to read: "app", "tenant:…"
	Text   string    // the question that was embedded
	Model  string    // embedding model
	Vector []float32 // finite, not all zero; nil when there is none

	Answer []byte // a chat.completion or text_completion object, JSON
	Marks  []byte // the pace at which it came: see openai.Mark; nil when not streamed

	Created time.Time
	Used    time.Time // last use, at most a minute behind
	Hits    int64     // counted as Used
}

// Size is what an entry counts against its application's bytes.
func (e *Entry) Size() int64 {
	return int64(len(e.Text)+len(e.Answer)+len(e.Marks)+4*len(e.Vector)) + entryOverhead
}

// entryOverhead is what a row costs beside its texts and vector: keys, times,
// index entries.
const entryOverhead = 256

// Metric is how nearness is measured.
type Metric string

// The metrics, by the names that configuration files use.
const (
	Cosine       Metric = "CS" // score is the cosine similarity, -1 to 1; more is nearer
	Euclid       Metric = "LS" // score is the Euclidean distance; less is nearer
	InnerProduct Metric = "IP" // score is the inner product; more is nearer
)

// Query asks for the nearest entries of one bucket.
type Query struct {
	App    string
	Bucket Hash
	Vector []float32
	Metric Metric
	// Bound is the least score that is not near enough: only entries beyond it
	// are found, greater (Cosine, InnerProduct) or less (Euclid).
	Bound float64
	Since time.Time // entries created before it are not found; zero finds all
	Limit int       // at least 1
}

// Near is an entry found by nearness.
type Near struct {
	ID      int64
	Text    string
	Score   float64 // by the query's metric, from the whole vectors
	Created time.Time
}

// Use is how often an entry has answered since it was last told.
type Use struct {
	ID   int64
	Hits int64
	Last time.Time
}
