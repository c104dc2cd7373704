// Package azure sends exchanges to Azure Monitor, where Application Insights
// shows them as requests, the calls that they made (the application map),
// exceptions and metrics. It stands behind the queue of package telemetry: no
// request waits for it.
//
// What is sent, and how, is the protocol that Microsoft publishes for exporters:
// github.com/Azure/azure-rest-api-specs, specification/applicationinsights/
// data-plane/Monitor.Exporters/preview/v2.1/swagger.json.
package azure

import (
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"aigateway/persist"
)

// tell is between two lines of the log about what could not be sent.
const tell = time.Minute

// Options say where exchanges are sent, and as whose. ConnectionString is
// needed, the zero value of the others works.
type Options struct {
	// ConnectionString is that of an Application Insights resource, as its
	// overview in the portal shows it.
	ConnectionString string
	// Role names the gateway on the application map, Instance the replica.
	Role, Instance, Version string
	Now                     func() time.Time
	Log                     *slog.Logger // nil discards
	// Client makes the posts; how it follows redirects does not count. Nil
	// means one that takes the proxy from the environment.
	Client *http.Client
	// Content: prompts and answers are sent.
	Content bool
}

// Sink sends to Azure Monitor. It implements telemetry.Sink: one goroutine
// calls Send and Close.
type Sink struct {
	now     func() time.Time
	log     *slog.Logger
	client  *http.Client
	content bool
	agent   string // the User-Agent header
	head    head

	line    line // of the item being written
	backlog backlog
	metrics metrics
	share   float64 // of requests are sampled, about
	seen    int     // requests, as far as they count for share
	owed    float64 // of the gateway's own calls, by share
	passed  int     // own calls since the last that was sent

	configured, url string // to post to; url is where redirects led
	zip             *gzip.Writer
	most            int       // items of the next post
	until           time.Time // no post before it
	failures        int       // in a row

	lost    atomic.Int64 // exchanges
	trouble string       // the last, when it has not been logged yet
	untold  int          // items lost since the log was told
	told    time.Time
}

// Open prepares sending. Nothing is sent yet, and the service need not be
// there. An error says what is wrong with the connection string, and shows
// none of its values.
func Open(o Options) (*Sink, error) {
	to, err := parseConnection(o.ConnectionString)
	if err != nil {
		return nil, fmt.Errorf("connection string of Application Insights: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Role = cmp.Or(o.Role, "aigateway")
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("preparing compression: %w", err)
	}
	return &Sink{
		now: o.Now, log: o.Log, client: newClient(o.Client), content: o.Content,
		agent:   "aigateway/" + cmp.Or(o.Version, "0"),
		head:    newHead(to.key, o),
		metrics: metrics{since: o.Now()}, share: 1,
		configured: to.track, url: to.track, zip: zip, most: itemsMost,
	}, nil
}

// Send counts exchanges, and sends the sampled ones and what waits from before.
// What the service does not take now is kept, within bounds.
func (s *Sink) Send(ctx context.Context, batch []*persist.Exchange) {
	for _, x := range batch {
		s.metrics.observe(x)
		if share := s.sampled(x); share > 0 {
			s.exchange(x, share)
		}
	}
	now := s.now()
	if now.Sub(s.metrics.since) >= every {
		s.measure(now)
	}
	if !now.Before(s.until) {
		_ = s.drain(ctx) // what is wrong is told
	}
	s.tell()
}

// sampled chooses what is sent beside metrics. Calls of the gateway's own
// belong to no trace: as large a share of them is sent as of requests. It
// returns one part in as many as the exchange stands for; 0 when it is not sent.
func (s *Sink) sampled(x *persist.Exchange) float64 {
	const most = 128 // requests, of which share is the mean
	if x.Trace != nil {
		s.seen = min(s.seen+1, most)
	}
	switch {
	case x.Trace != nil && x.Trace.Sampled:
		s.share += (1 - s.share) / float64(s.seen)
		return cmp.Or(x.Trace.Share, 1)
	case x.Trace != nil:
		s.share -= s.share / float64(s.seen)
		return 0
	case !x.Own:
		return 0
	}
	s.passed++
	if s.owed += s.share; s.owed < 1 {
		return 0
	}
	share := 1 / float64(s.passed)
	s.owed, s.passed = s.owed-1, 0
	return share
}

// Close sends what waits, though the service may have asked for a pause: there
// is no later. Send is not called again.
func (s *Sink) Close(ctx context.Context) error {
	s.measure(s.now())
	err := s.drain(ctx)
	s.client.CloseIdleConnections()
	if left := len(s.backlog.items); left > 0 {
		s.lose(s.backlog.take(left))
		return fmt.Errorf("sending the last %d items to Azure Monitor: %w", left, err)
	}
	return nil
}

// Dropped is how many exchanges have not arrived, or not whole.
func (s *Sink) Dropped() int64 { return s.lost.Load() }

// lose counts items that will not arrive.
func (s *Sink) lose(items []item) {
	s.untold += len(items)
	for _, it := range items {
		if it.of != nil && !it.of.lost {
			it.of.lost = true
			s.lost.Add(1)
		}
	}
}

// tell logs what could not be sent, once a minute.
func (s *Sink) tell() {
	now := s.now()
	if s.trouble == "" && s.untold == 0 || !s.told.IsZero() && now.Sub(s.told) < tell {
		return
	}
	s.log.Warn("telemetry could not be sent to Azure Monitor",
		"error", cmp.Or(s.trouble, "more waits than is kept"), "lost", s.untold, "waiting", len(s.backlog.items))
	s.told, s.trouble, s.untold = now, "", 0
}
