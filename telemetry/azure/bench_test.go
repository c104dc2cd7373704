package azure

import (
	"net/http"
	"testing"
)

// BenchmarkSend is the cost of an exchange: two items, compressed.
func BenchmarkSend(b *testing.B) {
	taken := transport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})
	s, err := Open(Options{ConnectionString: "InstrumentationKey=" + testKey, Client: &http.Client{Transport: taken}})
	if err != nil {
		b.Fatal(err)
	}
	batch := batchOf(0, 250)
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(batch) {
		s.Send(b.Context(), batch)
	}
}
