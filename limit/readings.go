package limit

// Readings are counts for metrics.
type Readings struct {
	Decisions []Decisions // by limit
	Accounts  int         // in memory
	Waiting   int         // accounts and corrections that Shared has not been told of
	Shared    bool        // replicas are configured to count together
	Up        bool        // and do
}

// Decisions are the requests that a limit has decided on since the start.
type Decisions struct {
	Limit    string // as Exceeded.Limit
	Admitted int64
	Refused  int64
	Over     int64 // admitted though over a limit that only observes
	// Crowded are those of the above that drew on an account which many share,
	// for the limit had no room for more.
	Crowded int64
}

// Readings returns the counts.
func (l *Limits) Readings() Readings {
	r := Readings{Shared: l.shared != nil, Up: l.joined(), Waiting: int(l.together.waiting.Load())}
	at := map[string]int{} // in r.Decisions, by limit
	for _, b := range l.allBooks() {
		r.Accounts += b.size()
		i, known := at[b.limit]
		if !known {
			i = len(r.Decisions)
			at[b.limit] = i
			r.Decisions = append(r.Decisions, Decisions{Limit: b.limit})
		}
		d := &r.Decisions[i]
		d.Admitted += b.admitted.Load()
		d.Refused += b.refused.Load()
		d.Over += b.over.Load()
		d.Crowded += b.crowded.Load()
	}
	return r
}

// count counts an admitted request.
func (b *book) count(over bool) {
	if over {
		b.over.Add(1)
	} else {
		b.admitted.Add(1)
	}
}
