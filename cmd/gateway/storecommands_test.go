package main

import (
	"database/sql"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"aigateway/db/dbtest"
)

// keepingEnv turns on all that needs a store.
func keepingEnv(more ...string) []string {
	return append([]string{
		"API_GATEWAY_USE_CACHE=true", "API_GATEWAY_STATE_MGMT=true", "API_GATEWAY_PERSIST_PROMPTS=true",
		"API_GATEWAY_VECTOR_AIAPP=vectorizedata",
	}, more...)
}

// keepingConfig is a configuration with one chat application that has a cache
// and conversations, and one that makes its embeddings.
func keepingConfig(models string) string {
	endpoint := func(deployment, operation string) string {
		return `{"id":"` + deployment + `","uri":"` + models + `/openai/deployments/` + deployment + `/` + operation + `?api-version=2024-10-21","apikey":"key-of-keeping-tests"}`
	}
	return `{"applications":[
		{"appId":"vectorizedata","appType":"azure_oai","endpoints":[` + endpoint("ada", "embeddings") + `]},
		{"appId":"chat","appType":"azure_oai",
			"cacheSettings":{"useCache":true,"searchType":"CS","searchDistance":0.95,"entryExpiry":"1 day"},
			"memorySettings":{"useMemory":true,"msgCount":5,"entryExpiry":"1 hour"},
			"endpoints":[` + endpoint("gpt", "chat/completions") + `]}]}`
}

// keepingFile writes keepingConfig where no model answers, and returns the
// variables of a gateway that would serve it.
func keepingFile(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(keepingConfig("http://127.0.0.1:9")), 0o600); err != nil {
		t.Fatal(err)
	}
	return keepingEnv("API_GATEWAY_CONFIG_FILE="+file, "API_GATEWAY_LISTEN=127.0.0.1", "API_GATEWAY_PORT=0")
}

// stores are the addresses of a new database of each kind.
func stores(t *testing.T) map[string]string {
	return map[string]string{
		"SQLite":     "sqlite:" + filepath.Join(t.TempDir(), "sub", "gateway.db"),
		"PostgreSQL": dbtest.Postgres(t),
	}
}

// wantRefused checks that a program gave up with exit code 1 and said why,
// with no stack.
func wantRefused(t *testing.T, code int, stdout, stderr string, wants ...string) {
	t.Helper()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range wants {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not told", want)
		}
	}
	if strings.Contains(stderr, "goroutine") {
		t.Error("a stack is told")
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
	}
}

func TestMigrateBringsAStoreUpToDateOnce(t *testing.T) {
	for kind, address := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			env := []string{"DATABASE_URL=" + address}
			migrate := func(args ...string) string {
				t.Helper()
				code, stdout, stderr := runProgram(t, env, append([]string{"migrate"}, args...)...)
				if code != 0 {
					t.Fatalf("migrate %v: exit code %d: %s", args, code, stderr)
				}
				return stdout
			}
			missing := migrate("--dry-run")
			if !strings.HasPrefix(missing, "missing 0001_tables.sql\n") {
				t.Errorf("the first dry run says %q", missing)
			}
			if again := migrate("--dry-run"); again != missing {
				t.Errorf("the second dry run says %q, want %q: the first one changed something", again, missing)
			}
			if got, want := migrate(), strings.ReplaceAll(missing, "missing ", "applied "); got != want {
				t.Errorf("migrate says %q, want %q", got, want)
			}
			for _, args := range [][]string{nil, {"--dry-run"}} {
				if got := migrate(args...); got != "the schema is up to date\n" {
					t.Errorf("migrate %v afterwards says %q", args, got)
				}
			}
			// A gateway that must not migrate takes it now.
			code, stdout, stderr := runProgram(t, append(keepingFile(t), "DATABASE_URL="+address, "API_GATEWAY_MIGRATE=false"), "invalidate")
			if code != 0 {
				t.Errorf("invalidate on the migrated store: exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

func TestInvalidateRunsEachKindByHand(t *testing.T) {
	for kind, address := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			env := append(keepingFile(t), "DATABASE_URL="+address)
			for _, c := range []struct{ args, want string }{
				{"", "cache: 0 rows deleted\nmemory: 0 rows deleted\nprompts: 0 rows deleted\n"},
				{"memory", "memory: 0 rows deleted\n"},
				{"prompts cache", "cache: 0 rows deleted\nprompts: 0 rows deleted\n"},
			} {
				code, stdout, stderr := runProgram(t, env, append([]string{"invalidate"}, strings.Fields(c.args)...)...)
				if code != 0 || stdout != c.want {
					t.Errorf("invalidate %s: exit code %d, says %q, want %q; %s", c.args, code, stdout, c.want, stderr)
				}
			}
		})
	}
	t.Run("nothing kept", func(t *testing.T) {
		env := append(keepingFile(t), "API_GATEWAY_USE_CACHE=false", "API_GATEWAY_STATE_MGMT=false", "API_GATEWAY_PERSIST_PROMPTS=false")
		code, stdout, stderr := runProgram(t, env, "invalidate")
		wantRefused(t, code, stdout, stderr, "nothing is kept", "API_GATEWAY_USE_CACHE")
	})
	t.Run("unknown kind", func(t *testing.T) {
		if code, _, stderr := runProgram(t, keepingFile(t), "invalidate", "everything"); code <= 0 || !strings.Contains(stderr, "everything") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
}

// TestInvalidateDeletesWhatHasExpired fills a store by a gateway, ages what it
// holds, and deletes it by hand.
func TestInvalidateDeletesWhatHasExpired(t *testing.T) {
	_, models := startModels(t)
	address := dbtest.Postgres(t)
	g := startGateway(t, keepingConfig(models), keepingEnv("DATABASE_URL="+address)...)
	for _, question := range []string{"What is a gateway?", "How is bread baked?"} {
		resp := postChat(t, g.Base+"/lb/chat", question)
		if resp.status != 200 || resp.header.Get("X-Thread-Id") == "" {
			t.Fatalf("status %d, header %v: %s", resp.status, resp.header, resp.body)
		}
	}
	g.stop(t) // all is stored by then

	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, age := range []string{
		`UPDATE apigtwycache SET timestamp_ = timestamp_ - interval '2 days' WHERE prompt LIKE '%bread%'`,
		`UPDATE apigtwythreads SET used = used - interval '2 hours' WHERE threadid =
			(SELECT threadid FROM apigtwymemory WHERE context::text LIKE '%bread%' LIMIT 1)`,
	} {
		if done, err := conn.Exec(t.Context(), age); err != nil || done.RowsAffected() != 1 {
			t.Fatalf("%s: %d rows, %v", age, done.RowsAffected(), err)
		}
	}
	code, stdout, stderr := runProgram(t, append(keepingFile(t), "DATABASE_URL="+address), "invalidate", "cache", "memory")
	if want := "cache: 1 rows deleted\nmemory: 1 rows deleted\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d, says %q, want %q; %s", code, stdout, want, stderr)
	}
	var entries, threads, turns int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM apigtwycache), (SELECT count(*) FROM apigtwythreads), (SELECT count(*) FROM apigtwymemory)`).
		Scan(&entries, &threads, &turns); err != nil {
		t.Fatal(err)
	}
	if entries != 1 || threads != 1 || turns != 1 {
		t.Errorf("%d entries, %d threads and %d turns are left, want 1 of each", entries, threads, turns)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	for kind, address := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			env := append(keepingFile(t), "DATABASE_URL="+address)
			if code, _, stderr := runProgram(t, env, "migrate"); code != 0 {
				t.Fatalf("migrate: exit code %d: %s", code, stderr)
			}
			raiseSchema(t, address)
			for _, args := range [][]string{{"serve"}, {"migrate"}, {"migrate", "--dry-run"}, {"invalidate"}} {
				code, stdout, stderr := runProgram(t, env, args...)
				t.Run(strings.Join(args, " "), func(t *testing.T) {
					wantRefused(t, code, stdout, stderr, "schema 9999", "newer", "later one")
				})
			}
		})
	}
}

// secretInURL is the password in the database addresses of these tests.
const secretInURL = "password-in-an-address"

func TestStoreFaultsKeepTheGatewayFromStarting(t *testing.T) {
	dir := t.TempDir()
	aFile := filepath.Join(dir, "a-file")
	if err := os.WriteFile(aFile, []byte("this is no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A port on which nobody listens.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	_, deadPort, _ := net.SplitHostPort(dead)
	empty, other := "DATABASE_URL="+dbtest.Postgres(t), "DATABASE_URL="+dbtest.Postgres(t)

	for name, c := range map[string]struct{ env, wants []string }{
		"PostgreSQL unreachable": {
			[]string{"DATABASE_URL=postgres://ann:" + secretInURL + "@" + dead + "/gateway?sslmode=disable"},
			[]string{"opening the store", "DATABASE_URL", dead},
		},
		"PostgreSQL unreachable, by the old variables": {
			[]string{"VECTOR_DB_HOST=127.0.0.1", "VECTOR_DB_PORT=" + deadPort, "VECTOR_DB_USER=ann", "VECTOR_DB_UPWD=" + secretInURL, "VECTOR_DB_NAME=gateway"},
			[]string{"opening the store", "VECTOR_DB_", dead},
		},
		"address of no known kind": {
			[]string{"DATABASE_URL=mysql://ann:" + secretInURL + "@127.0.0.1/gateway"},
			[]string{"DATABASE_URL", "postgres://", "sqlite:"},
		},
		"empty PostgreSQL, not to be migrated": {
			[]string{empty, "API_GATEWAY_MIGRATE=false"}, []string{"gateway migrate"},
		},
		"empty SQLite, not to be migrated": {
			[]string{"API_GATEWAY_DATA_DIR=" + filepath.Join(dir, "new"), "API_GATEWAY_MIGRATE=false"}, []string{"gateway migrate"},
		},
		"data directory is a file": {
			[]string{"API_GATEWAY_DATA_DIR=" + aFile}, []string{"API_GATEWAY_DATA_DIR", aFile},
		},
		"data directory is a file, store elsewhere": { // the spool is in it
			[]string{other, "API_GATEWAY_DATA_DIR=" + aFile}, []string{aFile, "spool"},
		},
		"data directory cannot be written": {
			[]string{"API_GATEWAY_DATA_DIR=" + unwritable(t)}, []string{"API_GATEWAY_DATA_DIR", "can be written"},
		},
		"SQLite file is no database": {
			[]string{"DATABASE_URL=sqlite:" + aFile}, []string{aFile, "not a SQLite database"},
		},
		"SQLite file is a folder": {
			[]string{"DATABASE_URL=sqlite:" + dir}, []string{dir},
		},
		"schedule that is none": {
			[]string{"API_GATEWAY_CACHE_INVAL_SCHEDULE=soon"}, []string{"API_GATEWAY_CACHE_INVAL_SCHEDULE", `"soon"`},
		},
		"schedule that never comes": {
			[]string{"API_GATEWAY_MEMORY_INVAL_SCHEDULE=0 0 30 2 *"},
			[]string{"API_GATEWAY_MEMORY_INVAL_SCHEDULE", "never comes"},
		},
		"schedule of the prompts": {
			[]string{"API_GATEWAY_PROMPT_INVAL_SCHEDULE=@every 0s"}, []string{"API_GATEWAY_PROMPT_INVAL_SCHEDULE", "at least 1 second"},
		},
		"no application for embeddings": {
			[]string{"API_GATEWAY_VECTOR_AIAPP="}, []string{"API_GATEWAY_VECTOR_AIAPP is not set", "application chat"},
		},
		"an application for embeddings that is not there": {
			[]string{"API_GATEWAY_VECTOR_AIAPP=no-such-app"}, []string{"API_GATEWAY_VECTOR_AIAPP", "no-such-app"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := append(keepingFile(t), "API_GATEWAY_DATA_DIR="+t.TempDir())
			code, stdout, stderr := runProgram(t, append(env, c.env...), "serve")
			wantRefused(t, code, stdout, stderr, append(c.wants, "cannot start")...)
			if strings.Contains(stdout+stderr, secretInURL) {
				t.Errorf("the database's password is told: %s%s", stdout, stderr)
			}
		})
	}
	if b, err := os.ReadFile(aFile); err != nil || string(b) != "this is no database" {
		t.Errorf("the file that is no database has become %q, %v", b, err)
	}
}

// unwritable is the name of a folder that this process may not make.
func unwritable(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		return "/proc/gateway-data" // root may write everywhere else
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

func TestSecondGatewayOnOneSQLiteFileSaysWhy(t *testing.T) {
	_, models := startModels(t)
	dir := t.TempDir()
	startGateway(t, keepingConfig(models), keepingEnv("API_GATEWAY_DATA_DIR="+dir)...)
	for _, args := range [][]string{{"serve"}, {"migrate"}, {"invalidate"}} {
		t.Run(args[0], func(t *testing.T) {
			code, stdout, stderr := runProgram(t, append(keepingFile(t), "API_GATEWAY_DATA_DIR="+dir), args...)
			wantRefused(t, code, stdout, stderr, filepath.Join(dir, "gateway.db"), "another process", "DATABASE_URL")
		})
	}
}

// raiseSchema notes a migration in a store that no version has.
func raiseSchema(t *testing.T, address string) {
	t.Helper()
	path, embedded := strings.CutPrefix(address, "sqlite:")
	driver, table, dsn := "pgx", "apigtwyversion", address
	if embedded {
		driver, table, dsn = "sqlite", "goose_db_version", path
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO `+table+` (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
}

// answered is an answer, read whole.
type answered struct {
	status int
	header http.Header
	body   string
}

// postChat asks a chat application a question. Header fields come in pairs.
func postChat(t *testing.T, url, question string, header ...string) answered {
	t.Helper()
	body := `{"messages":[{"role":"user","content":` + strconv.Quote(question) + `}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(text)}
}
