package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"aigateway/cache"
	"aigateway/db/spec"
	"aigateway/memory"
	"aigateway/openai"
	"aigateway/persist"
)

func openPath(t testing.TB, path string) *DB {
	t.Helper()
	d, err := Open(context.Background(), path, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// alter changes a file that no gateway has open.
func alter(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// wantOpenError opens a file in vain.
func wantOpenError(t *testing.T, path string, o spec.Options, says string) {
	t.Helper()
	d, err := Open(t.Context(), path, o)
	if err == nil {
		_ = d.Close()
		t.Fatalf("opened, want an error about %q", says)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("got error %q, want one that says %q", err, says)
	}
}

func TestAllIsThereAfterOpeningAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "gateway.db")
	ctx, at := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	d := openPath(t, path)
	var entries []*cache.Entry
	for i := range 300 { // enough for codes
		entries = append(entries, &cache.Entry{
			App: "app", Key: cache.Hash{byte(i), byte(i >> 8), 1}, Text: "q", Vector: []float32{1, float32(i), 2},
			Answer: []byte(`{}`), Created: at, Used: at,
		})
	}
	if err := d.Cache().Add(ctx, entries); err != nil {
		t.Fatal(err)
	}
	turn := &memory.Turn{ID: uuid.NewString(), Thread: uuid.NewString(), App: "app", Start: true, Extends: -1, Messages: []json.RawMessage{[]byte(`{"role":"user"}`)}, At: at}
	if err := d.Memory().Append(ctx, turn); err != nil {
		t.Fatal(err)
	}
	record := &persist.Record{ID: uuid.NewString(), Exchange: persist.Exchange{App: "app", RequestID: "r", Start: at}}
	if _, err := d.Prompts().Insert(ctx, []*persist.Record{record}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = openPath(t, path)
	query := cache.Query{App: "app", Vector: []float32{1, 7, 2}, Metric: cache.Cosine, Bound: 0.999999, Limit: 1}
	found, err := d.Cache().Nearest(ctx, query)
	if err != nil || len(found) != 1 || found[0].ID != entries[7].ID {
		t.Errorf("nearest: got %v, %v, want entry %d", found, err, entries[7].ID)
	}
	entries[7].Vector = nil // is not read back
	got, err := d.Cache().Get(ctx, "app", entries[7].Key)
	if diff := cmp.Diff(entries[7], got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("entry: %v\n%s", err, diff)
	}
	if r, err := d.Memory().Thread(ctx, "app", turn.Thread, 0); err != nil || len(r.Interactions) != 1 {
		t.Errorf("thread: %v, %v", r, err)
	}
	if _, err := d.Prompts().Record(ctx, persist.Ref{App: "app", RequestID: "r"}); err != nil {
		t.Errorf("record: %v", err)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "gateway.db")
	openPath(t, path)
	for _, name := range []string{path, path + "-wal", path + ".lock", filepath.Dir(path)} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if open := info.Mode().Perm() & 0o077; open != 0 {
			t.Errorf("%s has mode %v, want it closed to others", name, info.Mode())
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	if os.Getenv("GATEWAY_TEST_SECOND") != "" {
		wantOpenError(t, os.Getenv("GATEWAY_TEST_SECOND"), spec.Options{}, "open in another process")
		return
	}
	d := openPath(t, path)
	wantOpenError(t, path, spec.Options{}, "open in another process")
	second := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcessIsRefused$")
	second.Env = append(os.Environ(), "GATEWAY_TEST_SECOND="+path)
	if out, err := second.CombinedOutput(); err != nil {
		t.Errorf("the second process: %v\n%s", err, out)
	}
	if _, err := Migrate(t.Context(), path, false, nil); err == nil {
		t.Error("migrated under an open gateway")
	}
	if _, err := Migrate(t.Context(), path, true, nil); err != nil {
		t.Errorf("looking for migrations beside an open gateway: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	openPath(t, path)
}

func TestFilesThatCannotServeAreRefused(t *testing.T) {
	write := func(t *testing.T, content []byte) string {
		path := filepath.Join(t.TempDir(), "gateway.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("not a database", func(t *testing.T) {
		content := bytes.Repeat([]byte("somebody's diary "), 1000)
		path := write(t, content)
		wantOpenError(t, path, spec.Options{}, "not a SQLite database")
		if after, _ := os.ReadFile(path); !bytes.Equal(after, content) {
			t.Error("the file was changed")
		}
	})
	t.Run("damaged", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "gateway.db")
		if err := openPath(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 100; i < len(content); i++ {
			content[i] = 0xa5
		}
		wantOpenError(t, write(t, content), spec.Options{}, "damaged")
	})
	t.Run("a folder", func(t *testing.T) {
		wantOpenError(t, t.TempDir(), spec.Options{}, "opening database")
	})
	t.Run("below a file", func(t *testing.T) {
		wantOpenError(t, filepath.Join(write(t, nil), "gateway.db"), spec.Options{}, "name a folder that can be written")
	})
	t.Run("newer schema", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "gateway.db")
		if err := openPath(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		alter(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`)
		wantOpenError(t, path, spec.Options{}, "schema 9000, newer than")
		wantOpenError(t, path, spec.Options{NoMigrate: true}, "schema 9000, newer than")
		if _, err := Migrate(t.Context(), path, true, nil); err == nil {
			t.Error("a dry run took the newer schema")
		}
	})
	t.Run("older schema that is to stay", func(t *testing.T) {
		wantOpenError(t, write(t, nil), spec.Options{NoMigrate: true}, "gateway migrate")
	})
}

func TestOpenReleasesTheFileItCouldNotUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	wantOpenError(t, path, spec.Options{NoMigrate: true}, "gateway migrate")
	openPath(t, path)
}

// migratedTo makes a file with an earlier schema.
func migratedTo(t *testing.T, version int64) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "gateway.db")
	f := &file{path: path}
	db, err := f.connect(1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := f.prepare(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExchangesFromBeforeTheLedgerStay(t *testing.T) {
	path := migratedTo(t, 1)
	alter(t, path, `INSERT INTO apigtwyprompts (requestid, aiappname, uname, timestamp_, exchange, caller, tenant, thread, operation, model, call,
		stream, status, code, aborted, cut, cached, cachescore, cache, cachewhy, endpoint, attempts, durationms, firstbytems,
		usagereported, prompttokens, completiontokens, totaltokens, cachedtokens, reasoningtokens, finish, bytesin, bytesout, prompt)
		VALUES ('r', 'app', 'u', 2214820800000000, 'e-1', 'c', '', '', 'chat', 'm', '', 0, 200, '', 0, 0, 0, 0, '', '', 'e',
		'[{"endpoint":1,"id":"e","status":200,"start":"2040-03-08T00:00:00Z","durationMs":2.5}]', 3, 1, 1, 7, 0, 7, 0, 0, 'stop', 5, 6, '{}')`)
	d := openPath(t, path)
	at := time.UnixMicro(2214820800000000).UTC()
	want := &persist.Record{ID: "e-1", Prompt: json.RawMessage(`{}`), Exchange: persist.Exchange{
		RequestID: "r", App: "app", Caller: "c", User: "u", Operation: "chat", Model: "m", Start: at, Status: 200,
		Duration: 3 * time.Millisecond, FirstByte: time.Millisecond, FinishReason: "stop", BytesIn: 5, BytesOut: 6,
		Usage:    openai.Usage{Reported: true, PromptTokens: 7, TotalTokens: 7},
		Attempts: []persist.Attempt{{Endpoint: 1, ID: "e", Status: 200, Start: time.Date(2040, 3, 8, 0, 0, 0, 0, time.UTC), Duration: 2500 * time.Microsecond}},
	}}
	got, err := d.Prompts().Record(t.Context(), persist.Ref{App: "app", RequestID: "r", Any: true})
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("record: %v\n%s", err, diff)
	}
}

func TestMigrateTellsWhatItDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	all, err := Migrate(t.Context(), path, true, nil)
	if err != nil || !slices.Contains(all, "0001_tables.sql") {
		t.Fatalf("dry run: %v, %v", all, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run made the file: %v", err)
	}
	for _, want := range [][]string{all, nil} {
		got, err := Migrate(t.Context(), path, false, slog.New(slog.DiscardHandler))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	d, err := Open(t.Context(), path, spec.Options{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestPathsAreTakenAsTheyAre(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"plain.db", "deep/er/gateway.db", "with space?and#signs%20.db", "./dot.db"} {
		d := openPath(t, path)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, want it to hold the database", path, err)
		}
	}
}

func TestUnkeptDatabaseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	d := openNew(t)
	dir := filepath.Dir(d.file.path)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestFullDiskLosesNothingAndIsOverByItself(t *testing.T) {
	d := openNew(t)
	ctx := t.Context()
	entry := func(i int) *cache.Entry {
		return &cache.Entry{App: "app", Key: cache.Hash{byte(i)}, Vector: []float32{1, float32(i)}, Answer: bytes.Repeat([]byte("x"), 20_000)}
	}
	if err := d.Cache().Add(ctx, []*cache.Entry{entry(1)}); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		var now int
		query := map[int]string{1: `PRAGMA max_page_count = 1`, 0: `PRAGMA max_page_count = 1000000000`}[pages]
		if err := d.writer.conn.QueryRowContext(ctx, query).Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // no more pages than there are
	err := d.Cache().Add(ctx, []*cache.Entry{entry(2), entry(3)})
	if !errors.Is(err, errFull) {
		t.Fatalf("got %v, want errFull", err)
	}
	if s := d.State(); s.Up || s.Fault != errFull.Error() {
		t.Errorf("got %+v, want it down because the disk is full", s)
	}
	query := cache.Query{App: "app", Vector: []float32{1, 1}, Metric: cache.Cosine, Bound: -1, Limit: 9}
	if found, err := d.Cache().Nearest(ctx, query); err != nil || len(found) != 1 {
		t.Errorf("nearest on a full disk: %v, %v, want the first entry", found, err)
	}
	limit(0)
	if err := d.Check(ctx); err != nil || !d.State().Up {
		t.Errorf("check: %v, up is %v", err, d.State().Up)
	}
	if err := d.Cache().Add(ctx, []*cache.Entry{entry(2)}); err != nil {
		t.Errorf("adding with room again: %v", err)
	}
	if list, err := d.Cache().List(ctx, "app", 0, 10); err != nil || len(list) != 2 {
		t.Errorf("%d entries, %v, want 2", len(list), err)
	}
}
