package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const sample = "../api-router-config.json"

// testEnv is the environment that the files in testdata refer to.
func testEnv(name string) (string, bool) {
	value, ok := map[string]string{"TEST_KEY": "sk-from-env", "EMPTY_KEY": ""}[name]
	return value, ok
}

// testFile is the file system that they refer to.
func testFile(path string) ([]byte, error) {
	switch path {
	case "/secrets/key":
		return []byte("sk-from-file\r\n"), nil
	case "/secrets/jwt.crt":
		return os.ReadFile("testdata/jwt.crt")
	case "/secrets/large":
		return make([]byte, maxSecret+1), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func parse(data []byte) (*Config, error) { return ParseWith(data, testEnv, testFile) }

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func files(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s (%v)", pattern, err)
	}
	return paths
}

func TestGoodFilesAreAccepted(t *testing.T) {
	for _, path := range append(files(t, "testdata/good/*.json"), sample) {
		if _, err := parse(read(t, path)); err != nil {
			t.Errorf("%s:\n%v", path, err)
		}
	}
}

func TestBadFilesReportEveryFault(t *testing.T) {
	for _, path := range files(t, "testdata/bad/*.json") {
		_, err := parse(read(t, path))
		var faults Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: got error %v, want Faults", path, err)
			continue
		}
		got := err.Error() + "\n"
		if strings.Contains(got, "sk-") || strings.Contains(got, "hunter2") {
			t.Errorf("%s: faults show a secret:\n%s", path, got)
		}
		golden := strings.TrimSuffix(path, ".json") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(got, string(read(t, golden))); diff != "" {
			t.Errorf("%s (-got +want):\n%s", path, diff)
		}
	}
}

func TestEveryMemberIsDecoded(t *testing.T) {
	data := read(t, "testdata/good/every_member.json")
	got, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	defaults := Timeouts{interval("5s"), interval("5m"), interval("2m"), interval("30m")}
	enforce := Amounts{Mode: "enforce"}
	search := Endpoint{ID: "0", URI: "https://h.example/x", APIKey: "key-1", Weight: 1, Limits: enforce}
	second := Endpoint{ID: "1", URI: "https://h.example/x", APIKey: "key-2", Weight: 1, Limits: enforce}
	cacheDefaults := CacheSettings{
		SearchType: "CS", SearchDistance: 0.95, SearchContent: SearchContent{"messages", "system,user,assistant"},
		Scope: "app", Guards: true, Replay: Replay{"whole", 1}, MaxEntries: 50_000, MaxBytes: 1 << 30,
		EmbeddingTimeout: interval("2s"), LookupTimeout: interval("250ms"),
	}
	inner := cacheDefaults
	inner.UseCache, inner.SearchType, inner.SearchDistance = true, "IP", -3
	want := &Config{
		Schema: "x",
		Applications: []Application{
			{
				AppID: "chät app", AppType: OpenAI, SearchAIApp: "s",
				CacheSettings: CacheSettings{
					UseCache: true, SearchType: "LS", SearchDistance: 0.25,
					SearchContent: SearchContent{"messages", "system,user,developer,tool"},
					EntryExpiry:   Interval{Months: 1},
					EmbeddingApp:  "S", Scope: "user", Replay: Replay{"paced", 4}, MaxEntries: 10,
					EmbeddingTimeout: interval("1s"), LookupTimeout: interval("50ms"),
				},
				MemorySettings: MemorySettings{MsgCount: -1, EntryExpiry: Interval{Months: 14}, MaxTokens: 16000, Affinity: true},
				Strategy:       "weighted",
				Timeouts:       Timeouts{Connect: interval("1.5s"), Idle: interval("90s")},
				Retry:          Retry{2},
				AllowedModels:  []string{"a", "b"},
				MaxBodyBytes:   1024, SSEKeepAlive: interval("15s"), EndpointHeader: true,
				Model: "gpt-4o", OnClientAbort: "drain", DrainTimeout: interval("30s"),
				Tenants: Tenants{
					Header: "X-Tenant", Query: "tenant", Claim: "https://example.com/tenant", Required: true,
					Pins: []Pin{{"contoso", []string{"a", "2"}}, {"fabrikam é", []string{"1"}}},
				},
				Endpoints: []Endpoint{
					{
						ID: "a", URI: "http://[::1]:8080/v1", RPM: 10, Weight: 2.5, Model: "m", Priority: 1, Pool: "ptu",
						Limits: Amounts{1, 2, 3000, 1e15, 0.5, 6, 7, "observe"},
					},
					{ID: "1", URI: "HTTPS://h.example/v1?api-version=1", APIKey: "sk-from-env", RPM: 100, Weight: 1, Limits: enforce},
					{ID: "2", URI: "https://h.example/v1?api-version=1", APIKey: "sk-from-file", Weight: 1, Limits: enforce},
				},
			},
			{
				AppID: "s", AppType: AzureSearch, Strategy: "priority", Timeouts: defaults, MaxBodyBytes: 10 << 20,
				OnClientAbort: "cancel", DrainTimeout: interval("60s"),
				CacheSettings: cacheDefaults, Persist: PersistSettings{Content: true},
				Endpoints: []Endpoint{search},
			},
			{
				AppID: "S", AppType: AzureOpenAI, Strategy: "roundRobin", Timeouts: defaults, MaxBodyBytes: 10 << 20,
				OnClientAbort: "cancel", DrainTimeout: interval("60s"),
				Tenants:       Tenants{Required: true, Pins: []Pin{{"t", []string{"1"}}}},
				CacheSettings: inner, Persist: PersistSettings{Content: true},
				Endpoints: []Endpoint{search, second},
			},
		},
		Callers: []Caller{
			{ID: "c1", Key: "12345678", Apps: []string{"*"}, Tenant: "t"},
			{ID: "c2", Key: Secret("sha256:" + strings.Repeat("0A", 32)), Apps: []string{"s", "chät app"}},
		},
		Persist: Persist{Interval{Days: 90}, []string{"[0-9]{13,16}"}},
		Limits: []Limit{
			{ID: "all", Allow: Amounts{Concurrent: 100, Mode: "enforce"}},
			{
				ID: "free-tier", Per: []string{"app", "caller", "tenant", "user", "model"}, Apps: []string{"chät app", "s"},
				Callers: []string{"c1"}, Tenants: []string{"t", "contoso"}, Users: []string{"u"}, Models: []string{"gpt-4o"},
				Allow: Amounts{1, 2, 3, 4, 5.25, 6, 7, "observe"},
			},
		},
		LimitHeaders: LimitHeaders{"X-Tokens", "-", "-", "x-gateway-limit-requests", "x-left"},
		Pools:        []Pool{{"ptu", 150_000, []Share{{"chät app", 2.5}, {"S", 1}}}, {"spare", 1, nil}},
		Prices: []Price{
			{"gpt-4o", "2025-02-28", 2.5, 0, 10},
			{"gpt-4o", "", 5, 5, 0},
			{"o1", "", 15, 15, 60.5},
		},
		Ledger: Ledger{Interval{Months: 13}, "EUR"},
		JWT: JWT{
			Keys: []JWTKey{
				{"2025-01", "HS256", "sk-012345678901234567890123456789"},
				{"", "EdDSA", Secret(edKey)},
				{"", "ES256", Secret(bytes.TrimSpace(read(t, "testdata/jwt.crt")))},
			},
			Issuer: "https://login.example.com/", Audience: "api://gateway", Leeway: interval("5s"),
		},
		TenantMetrics: TenantMetrics{true, 10, Buckets{10, 1.5, 20}, Buckets{0, 1, 10}, Buckets{100, 100, 10}},
		Server: Server{
			ProtectInfo: true,
			CORS:        CORS{[]string{"https://*.example.com", "http://localhost:3000", "capacitor://localhost"}},
			TLS:         TLS{"/c", "/k"}, WriteTimeout: interval("10s"), BodyTimeout: interval("60s"), MaxHeaderBytes: 4096,
		},
		Hash:        hash(data),
		SecretsHash: got.SecretsHash,
	}
	reveal := cmp.Transformer("reveal", func(s Secret) string { return s.Reveal() })
	if diff := cmp.Diff(got, want, reveal); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

const edKey = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA5WI6G4u0AQotvssF0xMPjC0Qu0i6ci0cJp4Ghpn1SD8=
-----END PUBLIC KEY-----
`

func interval(s string) Interval {
	v, err := ParseInterval(s)
	if err != nil {
		panic(err)
	}
	return v
}

func TestServerDefaults(t *testing.T) {
	c, err := parse(read(t, "testdata/good/least.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := Server{
		CORS:         CORS{[]string{"*"}},
		DrainTimeout: interval("30s"), WriteTimeout: interval("30s"), BodyTimeout: interval("60s"), MaxHeaderBytes: 64 << 10,
	}
	if diff := cmp.Diff(c.Server, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestSearchTypeIsReadInAnyCase(t *testing.T) {
	for written, want := range map[string]string{
		"cs": "CS", "COSINE": "CS", "ls": "LS", "l2": "LS", "euclid": "LS", "ip": "IP", "": "CS",
	} {
		data := fmt.Sprintf(`{"applications":[{"appId":"a","appType":"openai","cacheSettings":{"searchType":%q},"endpoints":[{"uri":"http://h/"}]}]}`, written)
		c, err := parse([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		if got := c.Applications[0].CacheSettings.SearchType; got != want {
			t.Errorf("%q: got %s, want %s", written, got, want)
		}
	}
}

func TestAppFindsAnApplicationByItsID(t *testing.T) {
	c, err := parse(read(t, sample))
	if err != nil {
		t.Fatal(err)
	}
	if app := c.App("openai-app"); app == nil || app.AppType != OpenAI {
		t.Errorf("App(openai-app) = %v", app)
	}
	if app := c.App("OPENAI-APP"); app != nil {
		t.Errorf("App(OPENAI-APP) = %v, want nil", app)
	}
}

func TestSecretsHashFollowsSecretsNotTheFile(t *testing.T) {
	data := read(t, "testdata/good/every_member.json")
	with := func(key string) *Config {
		c, err := ParseWith(data, func(string) (string, bool) { return key, true }, testFile)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b, again := with("one"), with("two"), with("one")
	if a.Hash != b.Hash || a.SecretsHash == b.SecretsHash || a.SecretsHash != again.SecretsHash {
		t.Errorf("hashes %s %s, secrets hashes %s %s %s", a.Hash, b.Hash, a.SecretsHash, b.SecretsHash, again.SecretsHash)
	}
}

func TestMarshalledConfigShowsNoSecret(t *testing.T) {
	c, err := parse(read(t, "testdata/good/every_member.json"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out = fmt.Appendf(out, "%v %+v %#v %s", *c, *c, *c, c.Callers)
	for _, s := range []string{"sk-from-env", "sk-from-file", "key-1", "12345678", "0A0A", "sk-0123", "BEGIN PUBLIC KEY"} {
		if bytes.Contains(out, []byte(s)) {
			t.Errorf("shows %q", s)
		}
	}
	if !bytes.Contains(out, []byte(`"entryExpiry":"1 month"`)) {
		t.Error("an interval is not marshalled as text")
	}
}

func TestTruncatedFileIsAFaultAtEveryByte(t *testing.T) {
	data := bytes.TrimSpace(read(t, sample))
	for i := range data {
		if _, err := parse(data[:i]); err == nil {
			t.Fatalf("the first %d bytes were accepted", i)
		}
	}
}

func TestHugeFilesAreRefused(t *testing.T) {
	unknown := `{"a` + strings.Repeat(`":1,"a`, 5000) + `":1}`
	for name, data := range map[string]string{
		"too long":        strings.Repeat(" ", maxFile+1),
		"too many values": "[" + strings.Repeat("1,", maxValues) + "1]",
		"too many faults": unknown,
	} {
		_, err := parse([]byte(data))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) > maxFaults+1 {
			t.Errorf("%s: got %d faults, want 1 to %d", name, len(faults), maxFaults+1)
		}
	}
}

func TestParseReadsTheProcessEnvironmentAndFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONFIG_TEST_KEY", "from-env")
	c, err := Parse(fmt.Appendf(nil, `{"applications":[{"appId":"a","appType":"azure_oai","endpoints":[
		{"uri":"http://h/","apikey":"env:CONFIG_TEST_KEY"},{"uri":"http://h/","apikey":%q}]}]}`, "file:"+path))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Applications[0].Endpoints
	if e[0].APIKey.Reveal() != "from-env" || e[1].APIKey.Reveal() != "from-file" {
		t.Errorf("got %q and %q", e[0].APIKey.Reveal(), e[1].APIKey.Reveal())
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range append(append(files(f, "testdata/good/*.json"), files(f, "testdata/bad/*.json")...), sample) {
		if data := read(f, path); len(data) < 8<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body := bytes.TrimPrefix(data, []byte(bom))
		_, fault := scan(data)
		if fault == nil && !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
		if fault != nil && json.Valid(body) && utf8.Valid(body) && !strings.HasPrefix(fault.Want, "at most ") && !strings.HasPrefix(fault.Seen, "half ") {
			t.Fatalf("refused JSON: %v", fault)
		}
		c, err := parse(data)
		if err != nil {
			var all Faults
			if !errors.As(err, &all) {
				t.Fatalf("not Faults: %v", err)
			}
			for _, fault := range all {
				if fault.Path == "" || fault.Seen == "" || fault.Want == "" || strings.Contains(fault.String(), "\n") {
					t.Fatalf("fault %+v", fault)
				}
			}
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var shown struct {
			Applications []struct {
				Endpoints []struct{ APIKey string }
			}
			Callers []struct{ Key string }
			JWT     struct{ Keys []struct{ Key string } }
		}
		if err := json.Unmarshal(out, &shown); err != nil {
			t.Fatal(err)
		}
		for _, app := range shown.Applications {
			for _, e := range app.Endpoints {
				if e.APIKey != "" && e.APIKey != hidden {
					t.Fatal("the marshalled configuration shows an endpoint's key")
				}
			}
		}
		for _, caller := range shown.Callers {
			if caller.Key != hidden {
				t.Fatal("the marshalled configuration shows a caller's key")
			}
		}
		for _, key := range shown.JWT.Keys {
			if key.Key != hidden {
				t.Fatal("the marshalled configuration shows a token's key")
			}
		}
	})
}
