package main

import (
	"path/filepath"
	"testing"
	"time"

	"aigateway/cache"
	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/simulator"
)

// BenchmarkEmbeddedNearest is the nearest entry of 20,000 in the embedded store.
func BenchmarkEmbeddedNearest(b *testing.B) {
	store, err := db.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "gateway.db"), spec.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	s := side{index: store.Cache(), bucket: cache.Hash{1}}
	const batch = 500
	for from := 0; from < full.entries; from += batch {
		entries := make([]*cache.Entry, batch)
		for i := range entries {
			n := from + i
			text := question(n, 0)
			entries[i] = &cache.Entry{
				App: "bench", Key: cache.Hash{byte(n), byte(n >> 8)}, Bucket: s.bucket, Scope: "app", Text: text, Model: "embed",
				Vector: simulator.Embed(text, 0), Answer: []byte("{}"), Created: time.Now(), Used: time.Now(),
			}
		}
		if err := s.index.Add(b.Context(), entries); err != nil {
			b.Fatal(err)
		}
	}
	queries := make([]cache.Query, 100)
	for i := range queries {
		queries[i] = s.query(question(i, 1))
	}
	i := 0
	for b.Loop() {
		found, err := s.index.Nearest(b.Context(), queries[i%len(queries)])
		if err != nil || len(found) == 0 {
			b.Fatalf("%d found, %v", len(found), err)
		}
		i++
	}
}
