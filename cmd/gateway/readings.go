package main

import (
	"time"

	"aigateway/metrics"
)

// readings are what the state says of itself at each scrape.
func (st *state) readings() []metrics.Reading {
	list := st.runs.readings()
	gauge := func(name, help string, v float64, labels ...string) {
		list = append(list, metrics.Reading{Name: name, Help: help, Value: v, Labels: labels})
	}
	counter := func(name, help string, v int64, labels ...string) {
		list = append(list, metrics.Reading{Name: name, Help: help, Counter: true, Value: float64(v), Labels: labels})
	}

	now := st.db.State()
	up := 0.0
	if now.Up {
		up = 1
	}
	gauge("store_up", "1 while the database answers, else 0.", up)
	const connections = "Connections to the database."
	gauge("store_connections", connections, float64(now.InUse), "state", "used")
	gauge("store_connections", connections, float64(now.Idle), "state", "idle")
	counter("store_connection_waits_total", "Times that a caller waited for a connection to the database.", now.Waiting)

	if st.pool != nil {
		s := st.pool.Stats()
		gauge("cache_memory_entries", "Cache entries held in memory.", float64(s.Entries))
		gauge("cache_memory_bytes", "Bytes of the cache entries held in memory.", float64(s.Bytes))
		gauge("cache_waiting_entries", "Cache entries that wait to be stored.", float64(s.Waiting))
		counter("cache_stored_total", "Cache entries stored.", s.Stored)
		counter("cache_dropped_total", "Cache entries that could not be stored.", s.Dropped)
		counter("cache_store_faults_total", "Look-ups that the database did not answer, or not in time.", s.Faults)
		const embeddings = "Embeddings of questions by where they came from."
		counter("embeddings_total", embeddings, s.EmbeddingsMade, "result", "made")
		counter("embeddings_total", embeddings, s.EmbeddingsShared, "result", "shared")
		counter("embeddings_total", embeddings, s.EmbeddingsRemembered, "result", "remembered")
		counter("embeddings_total", embeddings, s.EmbeddingsFailed, "result", "failed")
		gauge("embedding_memory_bytes", "Bytes of the embeddings held in memory.", float64(s.EmbeddingBytes))
	}
	if st.threads != nil {
		s := st.threads.Stats()
		gauge("turns_waiting", "Turns of conversations that wait for the database.", float64(s.Pending))
		gauge("turns_waiting_bytes", "Bytes of the turns that wait for the database.", float64(s.PendingBytes))
	}
	if st.writer != nil {
		s := st.writer.Stats()
		gauge("prompts_waiting", "Prompts between their answer and the database, in memory and on disk.", float64(s.Queued+s.SpooledRows))
		gauge("prompts_waiting_bytes", "Bytes of the prompts that wait, in memory and on disk.", float64(s.QueuedBytes+s.SpooledBytes))
		blocked := 0.0
		if s.Blocked {
			blocked = 1
		}
		gauge("spool_blocked", "1 while prompts that wait cannot be written to disk, else 0.", blocked)
		age := 0.0
		if !s.OldestSpooled.IsZero() {
			age = time.Since(s.OldestSpooled).Seconds()
		}
		gauge("spool_oldest_seconds", "About how long the oldest prompt on disk has waited.", age)
		counter("prompts_stored_total", "Prompts that the database has.", s.Written)
		counter("prompts_rejected_total", "Prompts that the database will never take.", s.Rejected)
		counter("prompts_lost_total", "Prompts that could not be kept.", s.Lost)
	}
	return list
}
