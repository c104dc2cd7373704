package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

// historyWeeks is the time that stored requests are spread over: PostgreSQL
// has a partition for each week, and looks into all for a request's id.
const historyWeeks = 8

// history reads stored requests by their ids, among few and among many.
func (b *bed) history(ctx context.Context) (*trial, error) {
	t := &trial{group: "history", subject: b.name, title: "reading a stored request by its id, 1 connection"}
	sizes := []int{max(1, b.rows/1_000), max(1, b.rows/10), b.rows}
	names := make([]string, len(sizes))
	for i, rows := range sizes {
		names[i] = fmt.Sprintf("among %d", rows)
		at, err := b.fresh(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.progress, "storing %d requests, %s\n", rows, b.name)
		if err := storeRequests(ctx, at, rows); err != nil {
			return nil, err
		}
		gateway, err := b.keep(ctx, keeping{name: "requests " + names[i], prompts: true, at: at})
		if err != nil {
			return nil, err
		}
		list := make([][]byte, b.reads)
		for j := range list {
			list[j] = get(gateway.server.addr, "/api/v1/dev/apirouter/requests/bench/"+requestID(j*rows/b.reads))
		}
		read := func(ctx context.Context) (sample, error) { return gateway.send(ctx, load{lists: spreadOver(1, list)}) }
		// What is compared are indexes of different sizes, not rows that memory
		// holds with rows that it does not.
		if _, err := read(ctx); err != nil {
			return nil, err
		}
		t.takes = append(t.takes, take{names[i], read})
	}
	least, most := names[0], names[len(names)-1]
	t.figures = []figure{{
		name: fmt.Sprintf("p50, %s, to %s", most, least), most: 1.25,
		of: func(at round) float64 { return at[most].P50 / at[least].P50 },
	}}
	return t, nil
}

func requestID(number int) string { return fmt.Sprintf("bench-%08d", number) }

// storeRequests fills the history, as the gateway does it.
func storeRequests(ctx context.Context, at *place, rows int) error {
	opened, err := db.Open(ctx, at.url, spec.Options{})
	if err != nil {
		return err
	}
	defer opened.Close() //nolint:errcheck // an insert that was answered is kept
	const (
		batch   = 1_000
		writers = 2
	)
	var running sync.WaitGroup
	failed := make([]error, writers)
	began := time.Now().UTC().Truncate(time.Second)
	for w := range writers {
		running.Go(func() {
			for from := w * batch; from < rows && failed[w] == nil; from += writers * batch {
				records := make([]*persist.Record, 0, batch)
				for n := from; n < min(from+batch, rows); n++ {
					records = append(records, storedRequest(n, began.Add(time.Duration(n%(historyWeeks*7*24))*time.Hour)))
				}
				_, failed[w] = opened.Prompts().Insert(ctx, records)
			}
		})
	}
	running.Wait()
	for _, err := range failed {
		if err != nil {
			return fmt.Errorf("storing requests: %w", err)
		}
	}
	return nil
}

func storedRequest(number int, start time.Time) *persist.Record {
	said := question(number, 0)
	completion, _ := json.Marshal(map[string]any{
		"id": "chatcmpl-bench", "object": "chat.completion", "model": "gpt-4o-2024-08-06",
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": reply}}},
	})
	return &persist.Record{
		ID: uuid.NewString(), Prompt: json.RawMessage(chat(said)), Completion: completion,
		Exchange: persist.Exchange{
			RequestID: requestID(number), App: "bench", Caller: "bench", Operation: "chat", Model: "bench",
			Start: start, Duration: 800 * time.Millisecond, FirstByte: 300 * time.Millisecond, Status: 200, FinishReason: "stop",
			Attempts: []persist.Attempt{{ID: "bench-endpoint", Status: 200, Start: start, Duration: 790 * time.Millisecond}},
			Usage:    openai.Usage{Reported: true, PromptTokens: 40, CompletionTokens: 60, TotalTokens: 100},
			BytesIn:  300, BytesOut: 900,
		},
	}
}
