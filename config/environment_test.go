package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func lookupIn(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

func settings(t *testing.T, vars map[string]string) *Settings {
	t.Helper()
	s, err := FromEnv(lookupIn(vars))
	if err != nil {
		t.Fatalf("%v:\n%v", vars, err)
	}
	return s
}

var revealed = cmp.Transformer("reveal", func(s Secret) string { return s.Reveal() })

func TestSettingsDefaults(t *testing.T) {
	want := &Settings{
		ConfigFile: "./api-router-config.json", Env: "dev", Name: hostName(), Host: "localhost", Port: 8000,
		MetricsInterval: time.Hour, MetricsHistory: 168,
		CacheSchedule: "*/45 * * * *", MemorySchedule: "*/10 * * * *", SearchEngine: "Postgresql/pgvector",
		PromptSchedule: "17 * * * *", DataDir: "./data", Migrate: true,
		LedgerSchedule: "37 3 * * *",
	}
	for _, vars := range []map[string]string{nil, {"API_GATEWAY_ENV": "", "API_GATEWAY_PORT": " ", "DATABASE_URL": ""}} {
		if diff := cmp.Diff(settings(t, vars), want, revealed); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
	}
}

func TestEverySettingIsRead(t *testing.T) {
	got := settings(t, map[string]string{
		"API_GATEWAY_KEY": "env:ADMIN", "ADMIN": "s3cret", "API_GATEWAY_CONFIG_FILE": "/etc/c.json", "API_GATEWAY_ENV": "pre-prod_1.0",
		"API_GATEWAY_NAME": "Instance-01", "API_GATEWAY_HOST": "gw.example", "API_GATEWAY_LISTEN": "[::1]", "API_GATEWAY_PORT": "8080",
		"API_GATEWAY_LOG_LEVEL": "WARN", "API_GATEWAY_LOG_FILE": "/var/log/gw", "API_GATEWAY_METRICS_CINTERVAL": "0.5", "API_GATEWAY_METRICS_CHISTORY": "600",
		"API_GATEWAY_USE_CACHE": "true", "API_GATEWAY_STATE_MGMT": " True ", "API_GATEWAY_PERSIST_PROMPTS": "TRUE",
		"API_GATEWAY_CACHE_INVAL_SCHEDULE": "*/5 * * * *", "API_GATEWAY_MEMORY_INVAL_SCHEDULE": "0 */2 * * * *",
		"API_GATEWAY_VECTOR_AIAPP": "vectorizedata", "API_GATEWAY_SRCH_ENGINE": "x",
		"API_GATEWAY_PROMPT_INVAL_SCHEDULE": "@daily", "API_GATEWAY_DATA_DIR": "/data", "API_GATEWAY_MIGRATE": "false",
		"API_GATEWAY_LEDGER": "True", "API_GATEWAY_LEDGER_INVAL_SCHEDULE": "@weekly", "REDIS_URL": "env:REDIS", "REDIS": "rediss://u:p@r.example:6380/1",
		"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=1", "DATABASE_URL": "sqlite:/data/gw.db", "VECTOR_DB_HOST": "ignored",
		"IMAGE_ID": "i", "NODE_NAME": "n", "POD_NAME": "p", "POD_NAMESPACE": "ns", "POD_SVC_ACCOUNT": "sa",
	})
	want := &Settings{
		Key: "s3cret", ConfigFile: "/etc/c.json", Env: "pre-prod_1.0", Name: "Instance-01", Host: "gw.example", Listen: "::1", Port: 8080,
		LogLevel: slog.LevelWarn, LogFile: "/var/log/gw", MetricsInterval: 30 * time.Second, MetricsHistory: 600,
		UseCache: true, StateMgmt: true, PersistPrompts: true, CacheSchedule: "*/5 * * * *", MemorySchedule: "0 */2 * * * *",
		VectorApp: "vectorizedata", SearchEngine: "x", AppInsights: "InstrumentationKey=1", Database: "sqlite:/data/gw.db", PromptSchedule: "@daily", DataDir: "/data",
		Ledger: true, LedgerSchedule: "@weekly", Redis: "rediss://u:p@r.example:6380/1",
		Container: Container{"i", "n", "p", "ns", "sa"},
	}
	if diff := cmp.Diff(got, want, revealed); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestLogLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "Warn": slog.LevelWarn, "error": slog.LevelError, "fatal": LevelFatal,
	} {
		if got := settings(t, map[string]string{"API_GATEWAY_LOG_LEVEL": name}).LogLevel; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestDatabaseIsPutTogetherFromItsParts(t *testing.T) {
	parts := map[string]string{"VECTOR_DB_HOST": "db.example", "VECTOR_DB_USER": "u@tenant", "VECTOR_DB_NAME": "a/b c"}
	for _, c := range []struct{ name, value, want string }{
		{"", "", "postgres://u%40tenant@db.example:5432/a%2Fb%20c"},
		{"VECTOR_DB_UPWD", "p:@/?#%&", "postgres://u%40tenant:p%3A%40%2F%3F%23%25&@db.example:5432/a%2Fb%20c"},
		{"VECTOR_DB_PORT", "6432", "postgres://u%40tenant@db.example:6432/a%2Fb%20c"},
		{"VECTOR_DB_HOST", "::1", "postgres://u%40tenant@[::1]:5432/a%2Fb%20c"},
		{"DATABASE_URL", "postgres://x@y/z\n", "postgres://x@y/z"},
		{"VECTOR_DB_HOST", "", ""},
	} {
		vars := map[string]string{}
		for k, v := range parts {
			vars[k] = v
		}
		vars[c.name] = c.value
		if got := settings(t, vars).Database.Reveal(); got != c.want {
			t.Errorf("%s=%s: got %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

func TestEnvironmentFaultsComeTogether(t *testing.T) {
	_, err := FromEnv(lookupIn(map[string]string{
		"API_GATEWAY_KEY": "env:UNSET", "API_GATEWAY_ENV": "a/b", "API_GATEWAY_NAME": "a\x01b", "API_GATEWAY_LISTEN": "127.0.0.1:80", "API_GATEWAY_PORT": "65536",
		"API_GATEWAY_LOG_LEVEL": "loud", "API_GATEWAY_METRICS_CINTERVAL": "NaN", "API_GATEWAY_METRICS_CHISTORY": "601",
		"API_GATEWAY_USE_CACHE": "yes", "API_GATEWAY_STATE_MGMT": "1", "API_GATEWAY_PERSIST_PROMPTS": "on",
		"API_GATEWAY_LEDGER": "2", "REDIS_URL": "http://u:hunter2@h",
		"VECTOR_DB_HOST": "a b", "VECTOR_DB_PORT": "0", "VECTOR_DB_UPWD": "file:/nonexistent/password",
	}))
	want := `API_GATEWAY_KEY: saw env:UNSET, want the environment variable UNSET to be set
API_GATEWAY_ENV: saw "a/b", want letters, digits and . _ - only: it is a segment of the URL's path
API_GATEWAY_NAME: saw "a\x01b", want text without control characters
API_GATEWAY_LISTEN: saw "127.0.0.1:80", want an IP address or a host name, without port
API_GATEWAY_PORT: saw "65536", want a whole number from 0 to 65535
API_GATEWAY_LOG_LEVEL: saw "loud", want debug, info, warn, error or fatal
API_GATEWAY_METRICS_CINTERVAL: saw "NaN", want minutes, from one second (0.0167) to one year (525600)
API_GATEWAY_METRICS_CHISTORY: saw "601", want a whole number from 0 to 600
API_GATEWAY_USE_CACHE: saw "yes", want true or false
API_GATEWAY_STATE_MGMT: saw "1", want true or false
API_GATEWAY_PERSIST_PROMPTS: saw "on", want true or false
API_GATEWAY_LEDGER: saw "2", want true or false
VECTOR_DB_UPWD: saw file:/nonexistent/password, want a readable file at /nonexistent/password (no such file or directory)
VECTOR_DB_HOST: saw "a b", want a host name or an IP address
VECTOR_DB_USER: saw nothing, want the database user: VECTOR_DB_HOST is set
VECTOR_DB_NAME: saw nothing, want the database's name: VECTOR_DB_HOST is set
VECTOR_DB_PORT: saw "0", want a whole number from 1 to 65535
REDIS_URL: saw a secret, want redis://user:password@host:port/db, or rediss:// for TLS`
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want Faults", err)
	}
	if diff := cmp.Diff(err.Error(), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestSingleEnvironmentFaults(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"API_GATEWAY_ENV", ".."},
		{"API_GATEWAY_PORT", "-1"},
		{"API_GATEWAY_PORT", "8000.5"},
		{"API_GATEWAY_METRICS_CINTERVAL", "0"},
		{"API_GATEWAY_METRICS_CINTERVAL", "0.016"},
		{"API_GATEWAY_METRICS_CINTERVAL", "525601"},
		{"API_GATEWAY_METRICS_CHISTORY", "-1"},
		{"DATABASE_URL", "mysql://user:hunter2@h/d"},
		{"DATABASE_URL", "postgres"},
		{"REDIS_URL", "localhost:6379"},
		{"REDIS_URL", "redis://user:hunter2@h:port/0"},
		{"REDIS_URL", "redis:"},
		{"REDIS_URL", "file:/nonexistent"},
		{"API_GATEWAY_KEY", "file:/nonexistent"},
	} {
		_, err := FromEnv(lookupIn(map[string]string{c.name: c.value}))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Path != c.name || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s=%s: got %v", c.name, c.value, err)
		}
	}
}

func TestAMetricsWindowIsASecondAtLeast(t *testing.T) {
	if got := settings(t, map[string]string{"API_GATEWAY_METRICS_CINTERVAL": "0.0167"}).MetricsInterval; got < time.Second {
		t.Errorf("got %v", got)
	}
}

// Variables is what the documentation is made from, so it must list what is
// read, and nothing else.
func TestVariablesListsWhatIsRead(t *testing.T) {
	var read, listed []string
	lookup := func(name string) (string, bool) {
		read = append(read, name)
		return map[string]string{"VECTOR_DB_HOST": "h", "VECTOR_DB_USER": "u", "VECTOR_DB_NAME": "n"}[name], true
	}
	if _, err := FromEnv(lookup); err != nil {
		t.Fatal(err)
	}
	for _, v := range Variables() {
		listed = append(listed, v.Name)
	}
	slices.Sort(read)
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Compact(read), listed); diff != "" {
		t.Errorf("-read +listed:\n%s", diff)
	}
}

func TestSettingsSecretsMayBeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(" spaces belong to it \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := settings(t, map[string]string{"API_GATEWAY_KEY": "file:" + path}).Key.Reveal(); got != " spaces belong to it " {
		t.Errorf("got %q", got)
	}
}
