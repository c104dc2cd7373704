package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
	"aigateway/memory"
	"aigateway/persist"
)

// oldSchema is that of the first generation, with the columns that only some
// of its releases had and an index that its guide says to make by hand.
const oldSchema = `
CREATE EXTENSION vector;
CREATE TABLE apigtwyprompts (id serial PRIMARY KEY, requestid VARCHAR(100), aiappname VARCHAR(100), uname VARCHAR(50), prompt JSON, completion JSON,
	timestamp_ TIMESTAMPTZ default current_timestamp, endpoint_id VARCHAR(100), exec_time_secs NUMERIC);
CREATE TABLE apigtwymemory (id serial PRIMARY KEY, requestid VARCHAR(100), threadid VARCHAR(100), aiappname VARCHAR(100), uname VARCHAR(50), context JSON,
	timestamp_ TIMESTAMPTZ default current_timestamp, srv_name VARCHAR(100));
CREATE TABLE apigtwycache (id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, requestid VARCHAR(100), aiappname VARCHAR(100), prompt text,
	embedding vector(1536), completion JSON, timestamp_ TIMESTAMPTZ default current_timestamp, srv_name VARCHAR(100), threadid VARCHAR(100), model_res_hdrs JSON);
CREATE INDEX ON apigtwycache USING hnsw (embedding vector_cosine_ops);
INSERT INTO apigtwyprompts (requestid, aiappname, uname, prompt, completion, timestamp_, endpoint_id, exec_time_secs)
SELECT 'r' || i, 'app' || i % 3, CASE WHEN i % 7 > 0 THEN 'üser ' || i END, ('{"q": "frage \u0000 \ud800 ' || i || '"}')::json,
	CASE WHEN i % 5 > 0 THEN '{"a":  1.50}'::json END,
	CASE WHEN i % 11 > 0 THEN timestamptz '2024-01-01' + i * interval '17 hours' END, 'e' || i, i / 3.0
FROM generate_series(1, 500) i;
INSERT INTO apigtwymemory (requestid, threadid, aiappname, uname, context, timestamp_, srv_name)
SELECT 'r' || i, 'thread-' || i, 'app' || i % 3, 'u' || i % 10,
	CASE WHEN i % 50 = 1 THEN NULL WHEN i % 50 = 2 THEN '[1]'::json WHEN i % 50 = 3 THEN '{"content":[]}'::json ELSE
	('{"content":[{"role":"system","content":"ß \u0000"}, {"role":"user","content":"q1 ' || i || '"},{"role":"assistant","content":"a1 \ud800"},'
	|| '{"role": "user", "content":"q2"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"42"},{"role":"assistant","content":"a2"}]}')::json END,
	CASE WHEN i % 11 > 0 THEN timestamptz '2024-01-01' + i * interval '1 hour' END, 'srv'
FROM generate_series(1, 450) i;
INSERT INTO apigtwymemory (requestid, threadid, aiappname, uname, context) VALUES
	('loose', NULL, 'app1', 'u1', '{"content":[{"role":"user","content":"no thread"}]}'),
	('loose', 'thread-x', NULL, 'u1', '{"content":[{"role":"user","content":"no app"}]}'),
	('twice', 'thread-5', 'app2', 'u5', '{"content":[{"role":"user","content":"a second row"}]}');
INSERT INTO apigtwycache (requestid, aiappname, prompt, embedding, completion, timestamp_, threadid)
SELECT 'r' || i, 'app' || i % 3, CASE WHEN i % 9 > 0 THEN 'text "' || i || '" 漢字' END,
	CASE WHEN i % 13 > 0 THEN (SELECT array_agg(sin(i * j)) FROM generate_series(1, 1536) j)::vector END, '{"choices":[ ]}',
	CASE WHEN i % 11 > 0 THEN timestamptz '2024-01-01' + i * interval '1 hour' END, 't'
FROM generate_series(1, 300) i;`

// digests are what must be the same before and after: every old column of
// every row, by id.
var digests = map[string]string{
	"prompts": `SELECT count(*), md5(string_agg(concat_ws('|', id, requestid, aiappname, coalesce(uname, '∅'), prompt, coalesce(completion::text, '∅'),
		coalesce(timestamp_, 'epoch'), endpoint_id, exec_time_secs), E'\n' ORDER BY id)) FROM apigtwyprompts`,
	"memory": `SELECT count(*), md5(string_agg(concat_ws('|', id, requestid, coalesce(threadid, '∅'), coalesce(aiappname, '∅'), uname,
		coalesce(timestamp_::text, '∅'), srv_name), E'\n' ORDER BY id)) FROM apigtwymemory WHERE id <= 453`,
	"cache": `SELECT count(*), md5(string_agg(concat_ws('|', id, requestid, aiappname, coalesce(prompt, '∅'), coalesce(embedding::text, '∅'), completion,
		coalesce(timestamp_::text, '∅'), threadid), E'\n' ORDER BY id)) FROM apigtwycache`,
}

func oldDatabase(t *testing.T) (dsn string, conn *pgx.Conn) {
	t.Helper()
	dsn = dbtest.Postgres(t)
	conn = plain(t, dsn)
	if _, err := conn.PgConn().Exec(t.Context(), oldSchema).ReadAll(); err != nil {
		t.Fatalf("making the old schema: %v", err)
	}
	return dsn, conn
}

// plain is a connection beside the gateway's.
func plain(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func scalar[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func digest(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	exec(t, conn, "SET extra_float_digits = 3")
	found := map[string]string{}
	for table, query := range digests {
		var n int
		var sum string
		if err := conn.QueryRow(t.Context(), query).Scan(&n, &sum); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		found[table] = fmt.Sprint(n, " ", sum)
	}
	return found
}

// conversations are the messages of every row of the old memory table, in
// order, as texts.
func conversations(t *testing.T, conn *pgx.Conn, order string) map[string][]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT coalesce(aiappname, '∅') || ' ' || coalesce(threadid, '∅'), context FROM apigtwymemory
		WHERE context IS NOT NULL ORDER BY `+order)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string][]string{}
	for rows.Next() {
		var thread string
		var context []byte
		var turn turnContext
		if err := rows.Scan(&thread, &context); err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(context, &turn) != nil {
			found[thread] = append(found[thread], string(context))
			continue
		}
		for _, m := range turn.Content {
			found[thread] = append(found[thread], string(m))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMigratingAnOldDatabaseLosesNothing(t *testing.T) {
	ctx := t.Context()
	dsn, conn := oldDatabase(t)
	before, said := digest(t, conn), conversations(t, conn, "id")

	names, err := Migrate(ctx, dsn, true, nil)
	if err != nil || len(names) != 6 {
		t.Fatalf("dry run: %v, %v, want six names", names, err)
	}
	if scalar[bool](t, conn, `SELECT to_regclass('apigtwythreads') IS NOT NULL`) {
		t.Fatal("the dry run changed the schema")
	}
	applied, err := Migrate(ctx, dsn, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names, applied); diff != "" {
		t.Errorf("announced and applied differ:\n%s", diff)
	}
	for range 2 { // a second migration does nothing
		if diff := cmp.Diff(before, digest(t, conn)); diff != "" {
			t.Errorf("rows differ after the migration (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(said, conversations(t, conn, "interaction, id")); diff != "" {
			t.Errorf("conversations differ after the migration (-before +after):\n%s", diff)
		}
		if applied, err := Migrate(ctx, dsn, false, nil); err != nil || len(applied) > 0 {
			t.Fatalf("migrating again: %v, %v", applied, err)
		}
	}

	db, err := Open(ctx, dsn, spec.Options{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	t.Run("an old thread goes on", func(t *testing.T) {
		thread, err := db.Memory().Thread(ctx, "app1", "thread-10", 0)
		if err != nil {
			t.Fatal(err)
		}
		shape := func(r *memory.Record) (numbers []int, sizes []int) {
			for _, x := range r.Interactions {
				numbers, sizes = append(numbers, x.Number), append(sizes, len(x.Messages))
			}
			return numbers, sizes
		}
		numbers, sizes := shape(thread)
		if !slices.Equal(numbers, []int{0, 1}) || !slices.Equal(sizes, []int{3, 4}) || thread.User != "u0" {
			t.Fatalf("interactions %v of %v messages, user %q", numbers, sizes, thread.User)
		}
		turn := &memory.Turn{
			ID: "0193cf5e-0000-7000-8000-000000000001", Thread: "thread-10", App: "app1", Extends: -1, At: time.Now(),
			Messages: []json.RawMessage{[]byte(`{"role":"user","content":"q3"}`)}, Keep: 2,
		}
		if err := db.Memory().Append(ctx, turn); err != nil {
			t.Fatal(err)
		}
		thread, err = db.Memory().Thread(ctx, "app1", "thread-10", 0)
		if err != nil {
			t.Fatal(err)
		}
		if numbers, _ := shape(thread); !slices.Equal(numbers, []int{0, 2}) {
			t.Errorf("interactions %v, want 0 and 2", numbers)
		}
	})
	t.Run("threads in two rows and in none", func(t *testing.T) {
		thread, err := db.Memory().Thread(ctx, "app2", "thread-5", 0)
		if err != nil || len(thread.Interactions) != 3 {
			t.Errorf("two rows: %v, %v, want three interactions", thread, err)
		}
		for _, id := range []string{"thread-1", "thread-2", "thread-3"} {
			thread, err := db.Memory().Thread(ctx, "app"+id[7:][:1], id, 0)
			if id == "thread-3" {
				thread, err = db.Memory().Thread(ctx, "app0", id, 0)
			}
			if err != nil || len(thread.Interactions) != 0 {
				t.Errorf("%s: %v, %v, want it empty", id, thread, err)
			}
		}
	})
	t.Run("old prompts are read, and new ones join them", func(t *testing.T) {
		r, err := db.Prompts().Record(ctx, persist.Ref{App: "app1", RequestID: "r100"})
		if err != nil || r.User != "üser 100" || !strings.Contains(string(r.Prompt), `\u0000 \ud800 100`) || r.ID != "" {
			t.Fatalf("got %+v, %v", r, err)
		}
		now := &persist.Record{ID: "0193cf5e-0000-7000-8000-000000000002", Exchange: persist.Exchange{App: "app1", RequestID: "new", Start: time.Now()}}
		if rejected, err := db.Prompts().Insert(ctx, []*persist.Record{now}); err != nil || len(rejected) > 0 {
			t.Fatalf("inserting: %v, %v", rejected, err)
		}
		if id := scalar[int](t, conn, `SELECT id FROM apigtwyprompts WHERE requestid = 'new'`); id <= 500 {
			t.Errorf("the next id is %d, which was given before", id)
		}
	})
	t.Run("old cache entries are listed and expire, and never answer", func(t *testing.T) {
		list, err := db.Cache().List(ctx, "app1", 0, 1000)
		if err != nil || len(list) != 100 || list[0].Text != `text "298" 漢字` {
			t.Fatalf("listed %d, %v", len(list), err)
		}
		deleted, err := db.Cache().Expire(ctx, "app1", time.Now(), 1000)
		if err != nil || deleted != 100 {
			t.Errorf("expired %d, %v, want 100", deleted, err)
		}
	})
	t.Run("retention drops what was first", func(t *testing.T) {
		deleted, done, err := db.Prompts().Expire(ctx, time.Now().Add(-8*24*time.Hour), 1000)
		if err != nil || !done || deleted != 500 {
			t.Errorf("deleted %d, done %v, %v, want 500", deleted, done, err)
		}
	})
}

func TestTenMigrateAtOnce(t *testing.T) {
	dsn, conn := oldDatabase(t)
	before := digest(t, conn)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			db, err := Open(context.Background(), dsn, spec.Options{})
			if err != nil {
				t.Errorf("opening: %v", err)
				return
			}
			if got := db.State(); got.Schema != 6 || !got.Up {
				t.Errorf("got %+v, want schema 6, up", got)
			}
			_ = db.Close()
		})
	}
	wg.Wait()
	if diff := cmp.Diff(before, digest(t, conn)); diff != "" {
		t.Errorf("rows differ (-before +after):\n%s", diff)
	}
	if n := scalar[int](t, conn, `SELECT count(*) FROM apigtwyversion WHERE version_id > 0`); n != 6 {
		t.Errorf("%d migrations are noted, want 6", n)
	}
}

func TestOpenSaysWhatIsWrongWithTheDatabase(t *testing.T) {
	ctx := t.Context()
	failing := func(t *testing.T, dsn string, o spec.Options, want ...string) {
		t.Helper()
		db, err := Open(ctx, dsn, o)
		if err == nil {
			_ = db.Close()
			t.Fatal("it opened")
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("error %q shows the password", err)
		}
	}
	// as is the URL of a database for another user.
	as := func(dsn, user string) string {
		u, _ := url.Parse(dsn)
		u.User = url.UserPassword(user, "hush")
		return u.String()
	}

	t.Run("an old schema that is to stay", func(t *testing.T) {
		dsn, _ := oldDatabase(t)
		failing(t, dsn, spec.Options{NoMigrate: true}, "schema 0", "needs 6", "gateway migrate")
	})
	t.Run("a newer schema", func(t *testing.T) {
		db := opened(t)
		dsn := db.pool.Config().ConnString()
		exec(t, plain(t, dsn), `INSERT INTO apigtwyversion (version_id, is_applied) VALUES (99, true)`)
		failing(t, dsn, spec.Options{}, "schema 99", "newer")
		failing(t, dsn, spec.Options{NoMigrate: true}, "schema 99", "newer")
		if _, err := Migrate(ctx, dsn, false, nil); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("migrating: %v, want it refused", err)
		}
	})
	t.Run("no extension, and no right to make it", func(t *testing.T) {
		dsn := dbtest.Postgres(t)
		conn := plain(t, dsn)
		role := "r" + scalar[string](t, conn, `SELECT substr(md5(current_database()), 1, 12)`)
		exec(t, conn, "CREATE ROLE "+role+" LOGIN")
		t.Cleanup(func() { exec(t, conn, "DROP OWNED BY "+role); exec(t, conn, "DROP ROLE "+role) })
		failing(t, as(dsn, role), spec.Options{}, "CREATE EXTENSION vector needs", "permission denied")
	})
	t.Run("the extension was dropped", func(t *testing.T) {
		dsn := opened(t).pool.Config().ConnString()
		exec(t, plain(t, dsn), `DROP EXTENSION vector CASCADE`)
		failing(t, dsn, spec.Options{}, "CREATE EXTENSION vector")
	})
	t.Run("the extension is too old", func(t *testing.T) {
		dsn := opened(t).pool.Config().ConnString()
		exec(t, plain(t, dsn), `UPDATE pg_extension SET extversion = '0.4.4' WHERE extname = 'vector'`)
		failing(t, dsn, spec.Options{}, "pgvector 0.4.4 is too old", "0.5")
	})
	t.Run("read-only", func(t *testing.T) {
		dsn := opened(t).pool.Config().ConnString()
		conn := plain(t, dsn)
		exec(t, conn, fmt.Sprintf(`ALTER DATABASE %s SET default_transaction_read_only = on`, conn.Config().Database))
		failing(t, dsn, spec.Options{}, "read-only")

		fresh := dbtest.Postgres(t)
		conn = plain(t, fresh)
		exec(t, conn, fmt.Sprintf(`ALTER DATABASE %s SET default_transaction_read_only = on`, conn.Config().Database))
		failing(t, fresh, spec.Options{}, "read-only")
	})
	t.Run("no such database", func(t *testing.T) {
		u, _ := url.Parse(dbtest.Postgres(t))
		u.Path = "/nowhere"
		failing(t, as(u.String(), "postgres"), spec.Options{}, "no such database", `"nowhere"`)
	})
	t.Run("nobody listens", func(t *testing.T) {
		failing(t, "postgres://u:hush@127.0.0.1:1/x?sslmode=disable", spec.Options{}, "127.0.0.1:1", "refuses connections")
		_, err := Open(ctx, "postgres://u:hush@127.0.0.1:1/x?sslmode=disable", spec.Options{})
		if !errors.Is(err, ErrDown) {
			t.Errorf("%v is not ErrDown", err)
		}
	})
	t.Run("TLS where there is none", func(t *testing.T) {
		dsn := strings.Replace(dbtest.Postgres(t), "sslmode=disable", "sslmode=require", 1)
		failing(t, dsn, spec.Options{}, "TLS")
	})
	for _, dsn := range []string{
		"postgres://u:hush@[::1/x", "postgres://u:hu%zzhush@h/x", "postgres://u:hush@h:port/x", "postgres://u:hush@h/x?sslmode=hush",
		"postgres://u:hush@h/x?pool_max_conns=hush", "postgres://u:hush@h/x?sslmode=verify-full&sslrootcert=/hush", "postgres://u:hush@h/x?connect_timeout=hush",
	} {
		t.Run("URL", func(t *testing.T) { failing(t, dsn, spec.Options{}, "database URL") })
	}
}
