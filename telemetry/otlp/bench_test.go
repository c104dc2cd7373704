package otlp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"aigateway/persist"
)

// BenchmarkExchange is what an exchange costs in the background, all of it: its
// share of a batch that is sent to a collector in the same process, which
// throws it away.
func BenchmarkExchange(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	defer collector.Close()
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	for name, change := range map[string]func(*persist.Exchange){
		"two calls": func(*persist.Exchange) {},
		"one call":  func(x *persist.Exchange) { x.Attempts = x.Attempts[1:] },
		"cached":    func(x *persist.Exchange) { x.Attempts, x.Cached, x.Cache = nil, true, "hit" },
		"unsampled": func(x *persist.Exchange) { x.Trace.Sampled = false },
	} {
		b.Run(name, func(b *testing.B) {
			s, err := Open(b.Context(), Options{Service: "aigateway", Lookup: os.LookupEnv})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(context.Background())
			batch := make([]*persist.Exchange, 512)
			for i := range batch {
				batch[i] = failedOver()
				change(batch[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Send(b.Context(), batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/exchange")
			if s.Dropped() > 0 {
				b.Fatal("the collector did not get all")
			}
		})
	}
}
