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
	// Answered is the model that answered, as the endpoint named it; empty when
	// it did not.
	Answered string
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

	Attempts []Attempt
	Usage    openai.Usage
	// Saved is what the answer cost when it was first given, when Cached.
	Saved openai.Usage
	// Priced is the entry of the price catalogue that the costs are by, with its
	// prices of a million tokens of input, cached input and output; empty when it
	// has none for this model. Cost is that of Usage, SavedCost that of
	// Saved, in billionths of the catalogue's currency.
	Priced          string
	Cost, SavedCost int64
	// Limit is the id of the limit that refused the request; empty when none did.
	Limit string
	// LimitOver is the id of a limit that would have refused the request and only
	// observes; empty when there was none.
	LimitOver string

	FinishReason string
	BytesIn      int64
	BytesOut     int64

	// Trace is what telemetry wants to know beside; nil when it is off. It is
	// not stored.
	Trace *Trace `json:"-"`
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
	// FirstByte is from Start to the first part of the answer; 0 when none came.
	FirstByte time.Duration
	// Told is what the answer's header says of the service behind it.
	Told Told

	Host string  `json:"-"` // host:port of the endpoint, for telemetry
	Span [8]byte `json:"-"` // id of the call's span
}

// Told is what an endpoint's header says of the service behind it, each empty
// when it does not.
type Told struct {
	Region            string `json:",omitempty"` // x-ms-region
	RequestID         string `json:",omitempty"` // apim-request-id, or x-request-id
	RemainingRequests string `json:",omitempty"` // x-ratelimit-remaining-requests
	RemainingTokens   string `json:",omitempty"` // x-ratelimit-remaining-tokens
	// Took is how long the model took by the service's own account, in
	// milliseconds (openai-processing-ms, or x-envoy-upstream-service-time).
	Took string `json:",omitempty"`
}

// Trace is what telemetry wants to know of a request beside its exchange.
type Trace struct {
	ID      [16]byte // W3C trace id
	Span    [8]byte  // of this request
	Parent  [8]byte  // of the caller's span; zero when there is none
	Sampled bool
	// Share is how many of such traces are sampled, above 0 and at most 1; 0 when
	// that is not known, as of those that the caller samples.
	Share float64
	State string // the tracestate header, as it came

	Method, Route string // of the HTTP request; Route is its pattern
	// System is the application's appType, such as azure_oai, and Model the model
	// that the configuration names for it; each empty when there is none.
	System, Model string
	// Asked are members of the body that shape the answer, such as
	// {"temperature", "0.7"}: name and JSON value. That of response_format is its
	// type alone, such as "json_schema": also where it stands at text.format.
	Asked [][2]string
	// ResponseID, Fingerprint and ServiceTier are id, system_fingerprint and
	// service_tier of the answer; each empty when the endpoint gave none.
	ResponseID, Fingerprint, ServiceTier string
	// Chunks is the number of events of a streamed answer.
	Chunks int
	// Prompt and Completion are what was said, as JSON, where telemetry may have
	// it; nil else.
	Prompt, Completion []byte
}
