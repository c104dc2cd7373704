// Package persist is the history of exchanges: what is known about one
// request when it is over, and what was said in it. After the answer a request
// hands its Record to the Writer, which brings it to the database by way of a
// spool on disk; before, what must not be stored is taken out of it.
package persist

import (
	"time"

	"aigateway/openai"
)

// Exchange is everything known about one request when it is over. It holds no
// prompt and no answer.
type Exchange struct {
	RequestID string
	App       string // appId as configured; empty when the request named none
	Caller    string // id of the authenticated caller; empty when open
	Tenant    string
	User      string // the body's user member
	Thread    string
	// Own: the gateway asked for itself, such as for an embedding. It counts at
	// the endpoint, and is no request of a client.
	Own bool
	// Operation is chat, completions or embeddings, or the path of another
	// inference call such as images/generations.
	Operation string
	Model     string // the body's model member
	// Call names the kind of call of the other Azure services by its metric,
	// such as keywordApiCalls; empty when none fits.
	Call   string
	Stream bool

	Start     time.Time
	Duration  time.Duration // from Start to the last byte written
	FirstByte time.Duration // from Start to the first byte of the answer written; 0 when none was

	Status int    // HTTP status sent
	Code   string // our error code; empty on success
	// Aborted: the client left before the end. Cut: the endpoint broke off
	// an answer that had begun.
	Aborted, Cut bool
	Cached       bool
	CacheScore   float64 // similarity of the entry that answered, when Cached
	// Cache is what the cache said: hit, miss, bypass, or empty where it is
	// off; CacheWhy is the layer that answered, or why none did.
	Cache, CacheWhy string

	Attempts     []Attempt
	Usage        openai.Usage
	FinishReason string
	BytesIn      int64
	BytesOut     int64
}

// Attempt is one call to one endpoint.
type Attempt struct {
	Endpoint int    // position of the endpoint in its application
	ID       string // id of the endpoint
	Status   int    // HTTP status answered; 0 when there was none
	// Fault classes what went wrong without a status: dial, timeout, reset,
	// protocol, canceled; empty when there was an answer.
	Fault    string
	Start    time.Time
	Duration time.Duration // from Start to the answer's end, or the fault
}
