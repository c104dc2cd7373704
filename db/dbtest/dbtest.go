// Package dbtest is the specification of the gateway's databases: what
// cache.Index, memory.Store, persist.Store, persist.Ledger and spec.DB promise,
// as tests that every database runs on a real one.
package dbtest

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"aigateway/db/spec"
)

// Run runs the specification. open returns a new, empty database, and closes
// it when its test ends.
func Run(t *testing.T, open func(t *testing.T) spec.DB) {
	t.Run("cache", func(t *testing.T) { runCache(t, open) })
	t.Run("nearest", func(t *testing.T) { runNearest(t, open) })
	t.Run("memory", func(t *testing.T) { runMemory(t, open) })
	t.Run("window", func(t *testing.T) { runWindow(t, open) })
	t.Run("persist", func(t *testing.T) { runPersist(t, open) })
	t.Run("retention", func(t *testing.T) { runRetention(t, open) })
	t.Run("ledger", func(t *testing.T) { runLedger(t, open) })
	t.Run("usage", func(t *testing.T) { runUsage(t, open) })
	t.Run("state", func(t *testing.T) { runState(t, open) })
}

// base is when the tests play: a Thursday, with microseconds, which every
// database keeps.
func base() time.Time { return time.Date(2025, 5, 15, 12, 0, 0, 123457000, time.UTC) }

// after is base and some seconds.
func after(seconds int) time.Time { return base().Add(time.Duration(seconds) * time.Second) }

// anApp is an application that no other test of the database knows.
func anApp() string { return "app-" + uuid.NewString() }

// parallel runs a sub-test beside the others of its database.
func parallel(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		f(t)
	})
}

// ok fails the test at once when something did not work.
func ok(t testing.TB, doing string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// same compares two values: times by instant, nil slices as empty ones.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ended is a context that is over.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// oddTexts are what a caller may send as any text.
func oddTexts() []string {
	return []string{
		"",
		"nul \x00 inside",
		"\x00",
		"not UTF-8: \xff\xfe\x80",
		"'; DROP TABLE apigtwycache; --",
		`"quotes" 'and' \backslashes\ %s $1 ?1`,
		"emoji 👩‍👩‍👧‍👦 é 漢字 \u202e \ufeff",
		strings.Repeat("ü", 300),
		strings.Repeat("long ", 200_000),
	}
}

// oddJSON are values that a JSON column has to give back as they were.
func oddJSON() []string {
	return []string{
		`{"role":"user","content":"lone \ud800 surrogate"}`,
		`{"role":"user","content":"nul \u0000 escaped"}`,
		`{"role":"user","content":"👩‍👩‍👧‍👦 'quotes' \"and\" \\ back"}`,
		`{ "role" : "user",  "content":[ {"type":"text","text":"a"}, {"type":"x-unknown"} ] }`,
		`{"role":"user","content":"","n":1e400,"twice":1,"twice":2,"m":-0.0}`,
		`{"role":"user","content":"` + strings.Repeat("m", 1_000_000) + `"}`,
		`{"role":"user","content":null}`,
	}
}

// legible is a text without what a database may replace or leave out: NUL, and
// bytes that are not UTF-8.
func legible(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	return strings.NewReplacer("\x00", "", "\ufffd", "").Replace(s)
}

// notUTF8 is a JSON text with bytes that are not UTF-8.
func notUTF8() []byte { return []byte("{\"role\":\"user\",\"content\":\"a\xffb\"}") }

// sameJSON compares JSON texts byte by byte, apart from bytes that are not
// UTF-8.
func sameJSON(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) && legible(string(got)) != legible(string(want)) {
		t.Errorf("%s: got %.200q, want %.200q", what, got, want)
	}
}
