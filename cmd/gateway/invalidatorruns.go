package main

import (
	"sync"
	"time"

	"aigateway/metrics"
)

// invalidatorRuns counts what became of the invalidators' runs.
type invalidatorRuns struct {
	mu   sync.Mutex
	of   map[string]*runCounts // by name; guarded by mu, as what it points to
	list []string              // names in the order they began; guarded by mu
}

type runCounts struct {
	ended map[string]int64 // by outcome
	rows  int64
	last  time.Time // end of the last that went well
}

// begin makes an invalidator show before its first run.
func (r *invalidatorRuns) begin(name string) *runCounts {
	if r.of == nil {
		r.of = map[string]*runCounts{}
	}
	c := r.of[name]
	if c == nil {
		c = &runCounts{ended: map[string]int64{"ok": 0, "failed": 0, "elsewhere": 0}}
		r.of[name], r.list = c, append(r.list, name)
	}
	return c
}

// deleted counts rows, as they go.
func (r *invalidatorRuns) deleted(name string, rows int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(name).rows += int64(rows)
}

// note counts a run that has ended.
func (r *invalidatorRuns) note(name, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.begin(name)
	c.ended[outcome]++
	if outcome == "ok" {
		c.last = time.Now()
	}
}

func (r *invalidatorRuns) readings() []metrics.Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []metrics.Reading
	for _, name := range r.list {
		c := r.of[name]
		for outcome, n := range c.ended {
			list = append(list, metrics.Reading{
				Name: "invalidator_runs_total", Help: "Runs of the invalidators by how they ended; elsewhere: another process was at it.",
				Counter: true, Value: float64(n), Labels: []string{"of", name, "outcome", outcome},
			})
		}
		list = append(list, metrics.Reading{
			Name: "invalidator_rows_total", Help: "Rows that the invalidators deleted.",
			Counter: true, Value: float64(c.rows), Labels: []string{"of", name},
		})
		if !c.last.IsZero() {
			list = append(list, metrics.Reading{
				Name: "invalidator_last_success_timestamp_seconds", Help: "When an invalidator last ended well.",
				Value: float64(c.last.Unix()), Labels: []string{"of", name},
			})
		}
	}
	return list
}
