package persist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 678000, time.UTC)

// row returns the nth record of a test.
func row(n int) *Record {
	return &Record{
		ID:         fmt.Sprintf("00000000-0000-4000-8000-%012d", n),
		Exchange:   Exchange{RequestID: fmt.Sprintf("request %06d", n), App: "app", Start: epoch.Add(time.Duration(n) * time.Second), Status: 200},
		Prompt:     json.RawMessage(`{"messages":[{"role":"user","content":"said-in-confidence"}]}`),
		Completion: json.RawMessage(`{"choices":[]}`),
	}
}

// fakeStore keeps the ids it was given, in the order they came. It keeps the
// Store's promises on repeated and rejected records.
type fakeStore struct {
	mu      sync.Mutex
	ids     []string
	there   map[string]bool
	repeats int
	largest int // batch
	calls   int

	fault  error                                        // of every insert
	hold   func(ctx context.Context) error              // called in each insert
	reject func(r *Record) bool                         // what the database will never take
	see    func(ctx context.Context, records []*Record) // before all else
}

func (s *fakeStore) Insert(ctx context.Context, records []*Record) ([]int, error) {
	s.mu.Lock()
	hold, see := s.hold, s.see
	s.mu.Unlock()
	if see != nil {
		see(ctx, records)
	}
	if hold != nil {
		if err := hold(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fault != nil {
		return nil, s.fault
	}
	var rejected []int
	s.largest = max(s.largest, len(records))
	for i, r := range records {
		switch key := r.ID + r.Start.String(); {
		case s.reject != nil && s.reject(r):
			rejected = append(rejected, i)
		case s.there[key]:
			s.repeats++
		default:
			if s.there == nil {
				s.there = map[string]bool{}
			}
			s.there[key] = true
			s.ids = append(s.ids, r.ID)
		}
	}
	return rejected, nil
}

func (s *fakeStore) Record(context.Context, Ref) (*Record, error) {
	return nil, ErrNotFound
}
func (s *fakeStore) Vote(context.Context, Vote) error { return ErrNotFound }
func (s *fakeStore) Expire(context.Context, time.Time, int) (int, bool, error) {
	return 0, true, nil
}

// set makes every insert from now on end with err.
func (s *fakeStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

func (s *fakeStore) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ids...)
}

var errRefused = errors.New("connection refused")

// ids returns the ids of rows from one number to before another.
func ids(from, to int) (ids []string) {
	for n := from; n < to; n++ {
		ids = append(ids, row(n).ID)
	}
	return ids
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) count(message string) int {
	return bytes.Count([]byte(l.String()), []byte(message))
}

// running is a Writer whose loops run.
type running struct {
	*Writer
	log  *lockedBuffer
	stop func() // ends the loops in order
}

// start runs a Writer until the end of the test.
func start(t *testing.T, o Options) *running {
	t.Helper()
	log := &lockedBuffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	w, err := NewWriter(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	wg.Go(func() { w.Ship(ctx) })
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return &running{Writer: w, log: log, stop: stop}
}
