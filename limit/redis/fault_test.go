package redis

import (
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"aigateway/limit"

	"github.com/redis/go-redis/v9"
)

// server is a Redis of one test, to be maltreated.
type server struct {
	url     string
	dir     string
	args    []string
	process *exec.Cmd
}

// serve starts a server that runs until the test ends.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, url: "unix://" + filepath.Join(dir, "socket"), args: args}
	t.Cleanup(func() {
		s.kill()
		os.RemoveAll(dir)
	})
	s.start(t)
	return s
}

// program finds the server's, as scripts/test-redis does.
func program(t testing.TB) string {
	t.Helper()
	if named := os.Getenv("TEST_REDIS_SERVER"); named != "" {
		return named
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("needs redis-server: run scripts/test-redis go test ./limit/redis, or name one in TEST_REDIS_SERVER")
	return ""
}

func (s *server) start(t testing.TB) {
	t.Helper()
	s.process = exec.Command(program(t), append([]string{
		"--port", "0", "--unixsocket", filepath.Join(s.dir, "socket"),
		"--dir", s.dir, "--save", "", "--appendonly", "no",
	}, s.args...)...)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	client := s.client(t)
	defer client.Close()
	until(t, "the server answers", func() bool { return client.Ping(t.Context()).Err() == nil })
}

// client is one that asks by hand.
func (s *server) client(t testing.TB) *redis.Client {
	opts, err := redis.ParseURL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for i, arg := range s.args {
		if arg == "--requirepass" {
			opts.Password = s.args[i+1]
		}
	}
	return redis.NewClient(opts)
}

func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// storm takes from many goroutines at once and returns how many were granted
// and how many failed.
func storm(t testing.TB, o opened, charges ...limit.Charge) (granted, failed int64) {
	var ok, errs atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			got, err := o.Take(t.Context(), limit.Taking{Charges: charges, Lease: rand.Text()})
			switch {
			case err != nil:
				errs.Add(1)
			case got.OK:
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	return ok.Load(), errs.Load()
}

func TestRequestsGoOnWhileRedisIsIllAndItComesBackByItself(t *testing.T) {
	type ask func(args ...any)
	for _, c := range []struct {
		name     string
		ill, not func(*testing.T, *server, ask)
		forgets  bool
	}{
		{
			name: "hangs",
			ill:  func(_ *testing.T, s *server, _ ask) { s.process.Process.Signal(syscall.SIGSTOP) },
			not:  func(_ *testing.T, s *server, _ ask) { s.process.Process.Signal(syscall.SIGCONT) },
		},
		{
			name:    "is killed",
			ill:     func(_ *testing.T, s *server, _ ask) { s.kill() },
			not:     func(t *testing.T, s *server, _ ask) { s.start(t) },
			forgets: true,
		},
		{
			name: "has no memory left",
			ill:  func(_ *testing.T, _ *server, do ask) { do("config", "set", "maxmemory", "1") },
			not:  func(_ *testing.T, _ *server, do ask) { do("config", "set", "maxmemory", "0") },
		},
		{
			name: "may only be read",
			ill:  func(_ *testing.T, _ *server, do ask) { do("replicaof", "127.0.0.1", "1") },
			not:  func(_ *testing.T, _ *server, do ask) { do("replicaof", "no", "one") },
		},
		{
			name: "has another password",
			ill: func(_ *testing.T, _ *server, do ask) {
				do("config", "set", "requirepass", "other")
				do("client", "kill", "type", "normal", "skipme", "yes")
			},
			not: func(_ *testing.T, _ *server, do ask) { do("config", "set", "requirepass", "secret") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, "--requirepass", "secret")
			o := open(t, strings.Replace(s.url, "unix://", "unix://:secret@", 1), "", takeTimeout)
			until(t, "redis is there", o.Up)
			admin := s.client(t)
			defer admin.Close()
			do := func(args ...any) {
				t.Helper()
				if err := admin.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			charge := window("a", 1, 1000)
			granted, _ := storm(t, o, charge)
			c.ill(t, s, do)
			for o.Up() { // the first to find out
				more, _ := storm(t, o, charge)
				granted += more
			}
			if _, failed := storm(t, o, charge); failed != 64 {
				t.Errorf("%d of 64 requests are told", failed)
			}
			if err := o.Settle(t.Context(), "id", []limit.Settlement{{Key: "a", Delta: 5}}); err == nil {
				t.Error("settled")
			}
			c.not(t, s, do)
			until(t, "redis is there again", o.Up)
			more, failed := storm(t, o, charge)
			if granted += more; c.forgets {
				granted = more
			}
			// What was given up must not be done later.
			if got := o.used(t, charge)[0]; failed == 0 && got != granted {
				t.Errorf("%d used, %d granted", got, granted)
			}
			if said := o.log.String(); strings.Contains(said, "secret") || !strings.Contains(said, "redis is away") {
				t.Errorf("logged %s", said)
			}
		})
	}
}

// lossy forwards to a Redis. When cut is set it loses one answer, with the
// connection.
func lossy(t *testing.T, socket string) (addr string, cut *atomic.Bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cut = new(atomic.Bool)
	var wg sync.WaitGroup
	forward := func(to, from net.Conn, lose func() bool) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := from.Read(b)
			if err != nil || lose() {
				return
			}
			to.Write(b[:n])
		}
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			redis, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() { forward(redis, client, func() bool { return false }) })
			wg.Go(func() { forward(client, redis, func() bool { return cut.CompareAndSwap(true, false) }) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String(), cut
}

func TestTakeWhoseAnswerIsLostIsNotSentAgain(t *testing.T) {
	s := serve(t)
	addr, cut := lossy(t, filepath.Join(s.dir, "socket"))
	c, err := Open(t.Context(), Options{URL: "redis://" + addr}) // nothing runs whose answer could be lost
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.patience = patience
	charges := []limit.Charge{window("a", 1, 5)}
	if _, err := c.Look(t.Context(), charges); err != nil { // Redis knows the script from now on
		t.Fatal(err)
	}
	cut.Store(true)
	if got, err := c.Take(t.Context(), limit.Taking{Charges: charges}); err == nil || c.Up() {
		t.Errorf("%+v without an answer; up: %v", got, c.Up())
	}
	c.beat(t.Context(), patience)
	if got, err := c.Look(t.Context(), charges); err != nil || got[0] != 1 {
		t.Errorf("%v used, %v, want the one that was counted", got, err)
	}
}

func TestWhatRedisForgetsIsToldAgain(t *testing.T) {
	s := serve(t)
	o := open(t, s.url, "", takeTimeout)
	admin := s.client(t)
	defer admin.Close()
	held := limit.Taking{Charges: []limit.Charge{gauge("a", 5)}, Lease: "held"}
	if got, err := o.Take(t.Context(), held); err != nil || !got.OK {
		t.Fatal(got, err)
	}
	for name, forget := range map[string]func(){
		"flushed": func() { admin.FlushAll(t.Context()) },
		"restarted": func() {
			s.kill()
			s.start(t)
		},
		"without scripts": func() { admin.ScriptFlush(t.Context()) },
	} {
		forget()
		until(t, name+": the lease of the request under way is back", func() bool {
			got, err := o.Look(t.Context(), held.Charges)
			return err == nil && got[0] == 1
		})
		until(t, name+": it takes", func() bool {
			_, err := o.Take(t.Context(), limit.Taking{Charges: []limit.Charge{window(name, 1, 1)}})
			return err == nil
		})
	}
	until(t, "it is settled", func() bool {
		return o.Settle(t.Context(), "", []limit.Settlement{{Key: "a", Kind: limit.Gauge, Lease: "held"}}) == nil
	})
	if got := o.used(t, held.Charges...)[0]; got != 0 {
		t.Errorf("%d leases when all is over", got)
	}
}

func TestWrongPasswordIsNotLogged(t *testing.T) {
	s := serve(t, "--requirepass", "right-secret")
	o := open(t, strings.Replace(s.url, "unix://", "unix://:wrong-secret@", 1), "", takeTimeout)
	if said := o.log.String(); o.Up() || !strings.Contains(said, "WRONGPASS") || strings.Contains(said, "secret") {
		t.Errorf("up: %v, logged %q", o.Up(), said)
	}
}

func TestRedisThatIsAwayIsNotAsked(t *testing.T) {
	c, err := Open(t.Context(), Options{URL: address(t), Prefix: "test-" + rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	charge := window("a", 1, 5)
	c.up.Store(false)
	if _, err := c.Take(t.Context(), limit.Taking{Charges: []limit.Charge{charge}}); err == nil {
		t.Error("taken")
	}
	if err := c.Settle(t.Context(), "id", []limit.Settlement{{Key: "a", Slot: 1 << 50, Delta: 1}}); err == nil {
		t.Error("settled")
	}
	if _, err := c.Look(t.Context(), []limit.Charge{charge}); err == nil {
		t.Error("seen")
	}
	c.up.Store(true)
	if got, err := c.Look(t.Context(), []limit.Charge{charge}); err != nil || got[0] != 0 {
		t.Errorf("%v used, %v", got, err)
	}
}

func TestLateScriptsDoNothing(t *testing.T) {
	o := replica(t)
	o.take(t, window("a", 5, 10))
	// As if they had waited in a server that hung.
	for _, c := range []struct {
		script *redis.Script
		args   []any
	}{
		{o.Counter.take, []any{"take", 1, "", "w", 1, 10}},
		{o.settle, []any{1, "id", "w", -5, 0}},
		{o.renew, []any{1, "lease"}},
	} {
		got, err := c.script.Run(t.Context(), o.raw, []string{o.key("w", "a"), o.key("w", "a")}, c.args...).Int64Slice()
		if err != nil || got[0] != -1 {
			t.Errorf("%v: %v, %v", c.args, got, err)
		}
	}
	if got := o.used(t, window("a", 0, 0))[0]; got != 5 {
		t.Errorf("%d used, want the 5 of before", got)
	}
}

func TestClockOfRedisThatIsSetIsLearntAtOnce(t *testing.T) {
	o := replica(t)
	o.ahead.Add(-3600_000) // Redis' clock is an hour later than known
	if got := o.take(t, window("a", 1, 1)); !got.OK {
		t.Errorf("%+v", got)
	}
}
