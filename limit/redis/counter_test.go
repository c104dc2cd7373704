package redis

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"aigateway/limit"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The library's watch for a server that refuses; it looks once a second
		// whether the client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// address returns the server's that all tests share.
func address(t testing.TB) string {
	t.Helper()
	url := os.Getenv("TEST_REDIS_URL")
	if url == "" {
		t.Fatal("needs Redis: run scripts/test-redis go test ./limit/redis, or set TEST_REDIS_URL")
	}
	return url
}

// opened is a Counter that runs, and what it logs.
type opened struct {
	*Counter
	raw *redis.Client // the same Redis, by hand
	log *buffer
}

// patience is for tests of what is counted, not of how long that takes: the
// machine may be busy.
const patience = 20 * time.Second

// open returns a replica that runs until the test ends.
func open(t testing.TB, url, prefix string, patience time.Duration) opened {
	t.Helper()
	o := opened{log: &buffer{}}
	var err error
	o.Counter, err = Open(t.Context(), Options{URL: url, Prefix: prefix, Log: slog.New(slog.NewTextHandler(o.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	o.patience = patience
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.raw = redis.NewClient(opts)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { o.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		o.Close()
		o.raw.Close()
	})
	return o
}

// replica returns a replica of a gateway of this test only.
func replica(t testing.TB) opened {
	t.Helper()
	return replicas(t, 1)[0]
}

// replicas returns n replicas of a gateway of this test only, all up.
func replicas(t testing.TB, n int) []opened {
	t.Helper()
	prefix := "test-" + rand.Text()
	all := make([]opened, n)
	for i := range all {
		all[i] = open(t, address(t), prefix, patience)
		if !all[i].Up() {
			t.Fatalf("redis is away: %s", all[i].log)
		}
	}
	return all
}

// take takes and fails the test on an error.
func (o opened) take(t testing.TB, charges ...limit.Charge) limit.Taken {
	t.Helper()
	got, err := o.Take(t.Context(), limit.Taking{Charges: charges, Lease: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// used looks and fails the test on an error.
func (o opened) used(t testing.TB, charges ...limit.Charge) []int64 {
	t.Helper()
	got, err := o.Look(t.Context(), charges)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (o opened) correct(t testing.TB, all ...limit.Settlement) {
	t.Helper()
	if err := o.Settle(t.Context(), rand.Text(), all); err != nil {
		t.Fatal(err)
	}
}

// age lets slots pass for all windows: it writes back that much earlier what
// they hold.
func (o opened) age(t testing.TB, slots int) {
	t.Helper()
	older := func(packed string) string {
		b := []byte(packed)
		for at := 0; at < 16; at += 8 { // when it was asked, and its newest slot
			v := math.Float64frombits(binary.LittleEndian.Uint64(b[at:]))
			binary.LittleEndian.PutUint64(b[at:], math.Float64bits(v-float64(slots)))
		}
		return string(b)
	}
	ctx := t.Context()
	for _, key := range o.keys(t, "w:*") {
		if err := o.raw.Set(ctx, key, older(o.raw.Get(ctx, key).Val()), redis.KeepTTL).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range o.keys(t, "s:*") {
		for app, packed := range o.raw.HGetAll(ctx, key).Val() {
			if err := o.raw.HSet(ctx, key, app, older(packed)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// keys returns what Redis has of this gateway.
func (o opened) keys(t testing.TB, pattern string) []string {
	t.Helper()
	keys, err := o.raw.Keys(t.Context(), "{"+o.prefix+"}"+pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// until waits for what must come.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// buffer is a log that many write and read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestBadAddressIsAnErrorThatDoesNotQuoteIt(t *testing.T) {
	for _, url := range []string{
		"", "secret", "http://:secret@localhost", "redis://:secret@localhost/secret", "redis://:sec/ret@localhost", "redis://:secret%zz@localhost",
		"redis://:secret@localhost?secret=1", "unix://", "redis://:secret@local host",
	} {
		c, err := Open(t.Context(), Options{URL: url})
		if err == nil {
			t.Errorf("%q was opened", url)
			c.Close()
		} else if strings.Contains(err.Error(), "sec") && strings.Contains(url, "sec") {
			t.Errorf("the error quotes it: %v", err)
		}
	}
}

func TestRedisThatIsAwayIsNoErrorOfOpen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	l.Close()
	o := open(t, "redis://user:secret@"+refused, "", takeTimeout)
	if o.Up() || o.Replicas() != 1 {
		t.Errorf("up: %v, %d replicas", o.Up(), o.Replicas())
	}
	if _, err := o.Take(t.Context(), limit.Taking{Charges: []limit.Charge{window("a", 1, 1)}}); err == nil {
		t.Error("taken from nothing")
	}
	if err := o.Settle(t.Context(), "id", []limit.Settlement{{Key: "a", Delta: 1}}); err == nil {
		t.Error("settled with nothing")
	}
	if _, err := o.Look(t.Context(), []limit.Charge{window("a", 1, 1)}); err == nil {
		t.Error("seen in nothing")
	}
	if said := o.log.String(); !strings.Contains(said, "redis is not there") || strings.Contains(said, "secret") {
		t.Errorf("logged %q", said)
	}
}

func TestTLSIsSpokenAndTheCertificateChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	o := open(t, strings.Replace(server.URL, "https", "rediss", 1), "", takeTimeout)
	if o.Up() || !strings.Contains(o.log.String(), "certificate") {
		t.Errorf("up: %v, logged %q", o.Up(), o.log)
	}
}

func TestKeysAreOnOneNodeAndForgotten(t *testing.T) {
	o := replica(t)
	pool := &limit.PoolPart{Names: []string{"x"}, Shares: []int64{1}}
	end := time.Now().Add(time.Hour)
	o.take(t, window("a", 1, 9), limit.Charge{Key: "a", Kind: limit.Period, Add: 1, Limit: 9, Until: end},
		gauge("a", 9), limit.Charge{Key: "a", Kind: limit.Part, Add: 1, Limit: 9, Pool: pool})
	most := map[string]time.Duration{"w": 70 * time.Second, "p": 49 * time.Hour, "g": 61 * time.Second, "s": 70 * time.Second, "replicas": 10 * time.Second}
	keys := o.keys(t, "*")
	if len(keys) != len(most) {
		t.Errorf("keys %v", keys)
	}
	for _, key := range keys {
		kind, _, _ := strings.Cut(strings.TrimPrefix(key, "{"+o.prefix+"}"), ":")
		if got := o.raw.PTTL(t.Context(), key).Val(); got <= 0 || got > most[kind] {
			t.Errorf("%s is kept for %v, want at most %v", key, got, most[kind])
		}
	}
	if got := o.raw.PTTL(t.Context(), "{"+o.prefix+"}p:a").Val(); got < 48*time.Hour {
		t.Errorf("a period is kept for %v, want two days after its end", got)
	}
}
