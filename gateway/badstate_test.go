package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"aigateway/db/dbtest"
	"aigateway/db/postgres"
	"aigateway/db/spec"
)

// onBothStores runs a test on the embedded store and on PostgreSQL.
func onBothStores(t *testing.T, test func(t *testing.T, db spec.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newSQLite(t)) })
	t.Run("postgresql", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), dbtest.Postgres(t), spec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		test(t, db)
	})
}

// oddEmbeddings are what backends answer in place of an embedding, by name;
// reason is what x-cache then says beside "miss".
var oddEmbeddings = []struct{ name, answer, reason string }{
	{"zeros", `{"model":"m","data":[{"embedding":[0,0,0,0]}]}`, "embedding-failed"},
	{"nan", `{"model":"m","data":[{"embedding":[0.1,NaN,0.2]}]}`, "embedding-failed"},
	{"infinite", `{"model":"m","data":[{"embedding":[1e999,0.1]}]}`, "embedding-failed"},
	{"beyond-float32", `{"model":"m","data":[{"embedding":[1e39,0.1]}]}`, "embedding-failed"},
	{"strings", `{"model":"m","data":[{"embedding":["0.1","0.2"]}]}`, "embedding-failed"},
	{"nulls", `{"model":"m","data":[{"embedding":[null,null]}]}`, "embedding-failed"},
	{"base64", `{"model":"m","data":[{"embedding":"zczMPQ=="}]}`, ""},
	{"base64-half", `{"model":"m","data":[{"embedding":"zczM"}]}`, "embedding-failed"},
	{"base64-nan", `{"model":"m","data":[{"embedding":"AADAfw=="}]}`, "embedding-failed"},
	{"base64-zero", `{"model":"m","data":[{"embedding":"AAAAAA=="}]}`, "embedding-failed"},
	{"text", `{"model":"m","data":[{"embedding":"no numbers"}]}`, "embedding-failed"},
	{"no-numbers", `{"model":"m","data":[{"embedding":[]}]}`, "embedding-failed"},
	{"no-list", `{"model":"m","data":[]}`, "embedding-failed"},
	{"too-wide", `{"model":"m","data":[{"embedding":[` + strings.Repeat("0.1,", 16_000) + `0.1]}]}`, "embedding-failed"},
	{"array", `[1,2,3]`, "embedding-failed"},
	{"nothing", ``, "embedding-failed"},
	{"html", `<html>hello</html>`, "embedding-failed"},
	{"busy", `429`, "embedding-failed"},
	{"broken", `500`, "embedding-failed"},
	{"hangs", `hang`, "embedding-failed"},
	{"wide", `{"model":"m","data":[{"embedding":[` + strings.Repeat("0.1,", 4_999) + `0.1]}]}`, ""}, // no index can hold it
	{"tiny", `{"model":"m","data":[{"embedding":[1e-45]}]}`, ""},
	{"no-model", `{"data":[{"embedding":[0.5,0.5]}]}`, ""},
}

// oddEmbedders serves oddEmbeddings, each below a path of its name; below
// "/changing" two models of different widths take turns.
func oddEmbedders(t *testing.T) (url string) {
	t.Helper()
	var changes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		name, _, _ := strings.Cut(r.URL.Path[1:], "/")
		answer := `{"model":"four","data":[{"embedding":[0.1,0.2,0.3,0.4]}]}`
		if name == "changing" && changes.Add(1)%2 == 0 {
			answer = `{"model":"six","data":[{"embedding":[0.1,0.2,0.3,0.4,0.5,0.6]}]}`
		}
		if name == "same-name" {
			answer = `{"model":"four","data":[{"embedding":[0.1,0.2,0.3` + strings.Repeat(",0.4", int(changes.Add(1)%3)) + `]}]}`
		}
		for _, odd := range oddEmbeddings {
			if odd.name == name {
				answer = odd.answer
			}
		}
		w.Header().Set("Content-Type", "application/json")
		switch answer {
		case "429", "500":
			status, _ := strconv.Atoi(answer)
			w.WriteHeader(status)
			io.WriteString(w, `{"error":{"message":"no"}}`)
		case "hang":
			<-r.Context().Done()
		default:
			io.WriteString(w, answer)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// embedderApps are, for each odd backend, an application of embeddings and one
// that caches with it.
func embedderApps(url string, names ...string) (apps []string) {
	for _, name := range names {
		apps = append(apps,
			`{"appId":"embed-`+name+`","appType":"openai","endpoints":[{"apikey":"key-of-odd","model":"odd-model","uri":"`+url+`/`+name+`/v1"}]}`,
			chatApp("odd-"+name, `"cacheSettings":{"useCache":true,"embeddingApp":"embed-`+name+`","embeddingTimeout":"200 ms","searchDistance":0.9},`, "gpt-4o"))
	}
	return apps
}

func TestOddEmbeddingsAreMissesThatSaySo(t *testing.T) {
	names := []string{"changing", "same-name"}
	for _, odd := range oddEmbeddings {
		names = append(names, odd.name)
	}
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, applications(append(embedderApps(oddEmbedders(t), names...), embedApp)...))
		for _, odd := range oddEmbeddings {
			want := "miss"
			if odd.reason != "" {
				want += "; reason=" + odd.reason
			}
			body := ask("", "What is a hat?")
			status, h, answer := k.post("/lb/odd-"+odd.name, body)
			if status != http.StatusOK || h.Get("X-Cache") != want {
				t.Errorf("%s: %d, x-cache %q, want %q: %s", odd.name, status, h.Get("X-Cache"), want, answer)
			}
			// The exact layer needs no embedding, and has the answer.
			k.idle()
			k.entries("odd-"+odd.name, 1)
			if status, h, again := k.post("/lb/odd-"+odd.name, body); status != http.StatusOK || h.Get("X-Cache-Layer") != "exact" || again != answer {
				t.Errorf("%s: again: %d, x-cache %q", odd.name, status, h.Get("X-Cache"))
			}
		}
		// What another model made is never compared, whatever the widths are.
		for _, name := range []string{"changing", "same-name"} {
			stored := 0
			for i, question := range []string{"What is a hat?", "What then is a hat?", "So what is a hat?", "What is a hat then?"} {
				status, h, body := k.post("/lb/odd-"+name, ask("", question))
				if status != http.StatusOK || i < 2 && h.Get("X-Cache") != "miss" {
					t.Errorf("%s: %q: %d, x-cache %q, %s", name, question, status, h.Get("X-Cache"), body)
				}
				if h.Get("X-Cache") != "hit" {
					stored++
				}
				k.idle()
				k.entries("odd-"+name, stored)
			}
		}
		if s := k.pool.Stats(); s.Dropped != 0 || s.Faults != 0 {
			t.Errorf("the cache lost entries: %+v", s)
		}
		if w := k.writer.Stats(); w.Lost+w.Rejected != 0 {
			t.Errorf("rows were lost: %+v", w)
		}
	})
}

// badCase is a request that is odd in some way.
type badCase struct {
	name, method, path, body string
	headers                  []string
	want                     int // status
	heavy                    bool
}

const (
	keyA, keyB, keyC = "key-of-caller-a", "key-of-caller-b", "key-of-caller-c"
	badCallers       = `"callers":[{"id":"a","key":"` + keyA + `","apps":["*"],"tenant":"t"},{"id":"b","key":"` + keyB + `","apps":["*"],"tenant":"t"},{"id":"c","key":"` + keyC + `","apps":["*"],"tenant":"u"}],`
)

// badMessages are bodies of chat requests, with the status that is due.
func badMessages() []badCase {
	content := func(json string) string { return `{"messages":[{"role":"user","content":` + json + `}]}` }
	user := func(json string) string {
		return `{"user":` + json + `,"messages":[{"role":"user","content":"Who am I?"}]}`
	}
	megabyte := strings.Repeat("many words ", 100_000)
	cases := []badCase{
		{name: "NUL escaped", body: content(`"nul \u0000 inside"`), want: 200},
		{name: "NUL alone", body: content(`"\u0000"`), want: 200},
		{name: "NUL raw", body: content("\"nul \x00 inside\""), want: 400},
		{name: "bytes that are not UTF-8", body: content("\"bytes \xff\xfe inside\""), want: 400},
		{name: "lone surrogate", body: content(`"lone \ud800 surrogate"`), want: 200},
		{name: "surrogates the wrong way round", body: content(`"\udc00\ud800"`), want: 200},
		{name: "NUL in user", body: user(`"a\u0000b"`), want: 200},
		{name: "NUL for user", body: user(`"\u0000"`), want: 200},
		{name: "surrogate in user", body: user(`"a\ud800"`), want: 200},
		{name: "user of 300 characters", body: user(`"` + strings.Repeat("ü", 300) + `"`), want: 200},
		{name: "user of 100 kB", body: user(`"` + strings.Repeat("u", 100_000) + `"`), want: 200},
		{name: "user that is SQL", body: user(`"'; DROP TABLE apigtwymemory; --"`), want: 200},
		{name: "user that is a number", body: user(`7`), want: 400},
		{name: "user null", body: user(`null`), want: 200},
		{name: "megabyte", body: content(`"` + megabyte + `"`), want: 200, heavy: true},
		{name: "megabyte of one word", body: content(`"` + strings.Repeat("x", 1_000_000) + `"`), want: 200, heavy: true},
		{name: "empty content", body: content(`""`), want: 200},
		{name: "spaces for content", body: content(`"   "`), want: 200},
		{name: "null content", body: content(`null`), want: 400},
		{name: "number for content", body: content(`1`), want: 400},
		{name: "object for content", body: content(`{}`), want: 400},
		{name: "no content", body: `{"messages":[{"role":"user"}]}`, want: 400},
		{name: "no parts", body: content(`[]`), want: 200},
		{name: "part of unknown type", body: content(`[{"type":"x-unknown","data":{"a":[1]}}]`), want: 200},
		{name: "part without type", body: content(`[{}]`), want: 200},
		{name: "text part with NUL", body: content(`[{"type":"text","text":"\u0000 and \ud800"}]`), want: 200},
		{name: "image", body: content(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]`), want: 200},
		{name: "unknown role", body: `{"messages":[{"role":"wizard","content":"x"}]}`, want: 400},
		{name: "no role", body: `{"messages":[{"content":"x"}]}`, want: 400},
		{name: "no messages", body: `{"messages":[]}`, want: 400},
		{name: "messages null", body: `{"messages":null}`, want: 400},
		{name: "messages a string", body: `{"messages":"x"}`, want: 400},
		{name: "message null", body: `{"messages":[null]}`, want: 400},
		{name: "message a list", body: `{"messages":[[]]}`, want: 400},
		{name: "messages twice", body: `{"messages":[],"messages":[{"role":"user","content":"x"}]}`, want: 400},
		{name: "member written in escapes", body: `{"m\u0065ssages":[{"role":"user","content":"x"}]}`, want: 200},
		{name: "deep", body: content(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), want: 400},
		{name: "half", body: `{"messages":[{"role":"user","content":"x`, want: 400},
		{name: "tools' messages", body: `{"messages":[{"role":"user","content":"Sum?"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\u0000\"}"}}]},{"role":"tool","tool_call_id":"c","content":"4\u0000"}]}`, want: 200},
		{name: "a tool's message alone", body: `{"messages":[{"role":"tool","tool_call_id":"none","content":"4"}]}`, want: 200},
		{name: "assistant alone", body: `{"messages":[{"role":"assistant","content":"I spoke first"}]}`, want: 200},
		{name: "number that no float holds", body: `{"seed":1e400,"messages":[{"role":"user","content":"x"}]}`, want: 200},
		{name: "too large", body: content(`"` + strings.Repeat("x", 2<<20) + `"`), want: 413, heavy: true},
	}
	for i := range cases {
		cases[i].method, cases[i].path, cases[i].headers = "POST", "/lb/bot", []string{"Api-Key", keyA}
	}
	return cases
}

// badNames are requests for what is kept, by names that are odd, other
// people's, or out of range. thread and request are caller a's.
func badNames(thread, expired, request string) []badCase {
	long := strings.Repeat("x", 5000)
	on := func(name, thread string, want int) badCase {
		return badCase{name: "thread " + name, method: "POST", path: "/lb/bot", body: ask("", "What was it?"), headers: []string{"Api-Key", keyA, "X-Thread-Id", thread}, want: want}
	}
	as := func(name, method, path, key string, want int) badCase {
		c := badCase{name: name, method: method, path: path, want: want}
		if key != "" {
			c.headers = []string{"Authorization", "Bearer " + key}
		}
		return c
	}
	cases := []badCase{
		on("not a UUID", "no-uuid", 400),
		on("in braces", "{"+thread+"}", 400),
		on("as URN", "urn:uuid:"+thread, 400),
		on("without dashes", strings.ReplaceAll(thread, "-", ""), 400),
		on("of dashes", strings.Repeat("-", 36), 400),
		on("nil", uuid.Nil.String(), 400),
		on("long", long, 400),
		on("unknown", uuid.NewString(), 400),
		on("expired", expired, 400),
		on("SQL", "' OR 1=1 --                         ", 400),
		{name: "thread twice", method: "POST", path: "/lb/bot", body: ask("", "x"), headers: []string{"Api-Key", keyA, "X-Thread-Id", thread, "X-Thread-Id", thread}, want: 400},
		{name: "thread of another caller", method: "POST", path: "/lb/bot", body: ask("", "x"), headers: []string{"Api-Key", keyB, "X-Thread-Id", thread}, want: 400},
		{name: "thread of another tenant", method: "POST", path: "/lb/bot", body: ask("", "x"), headers: []string{"Api-Key", keyC, "X-Thread-Id", thread}, want: 400},
		{name: "thread of another application", method: "POST", path: "/lb/other", body: ask("", "x"), headers: []string{"Api-Key", keyA, "X-Thread-Id", thread}, want: 400},
		{name: "thread where there is no memory", method: "POST", path: "/lb/embed", body: `{"input":"x"}`, headers: []string{"Api-Key", keyA, "X-Thread-Id", thread}, want: 400},

		as("session without key", "GET", "/sessions/bot/"+thread, "", 401),
		as("session with a wrong key", "GET", "/sessions/bot/"+thread, "wrong", 401),
		as("session of another caller", "GET", "/sessions/bot/"+thread, keyB, 404),
		as("session of another tenant", "GET", "/sessions/bot/"+thread, keyC, 404),
		as("ending another tenant's session", "DELETE", "/sessions/bot/"+thread, keyC, 404),
		as("session of no application", "GET", "/sessions/nobody/"+thread, keyA, 404),
		as("session that is none", "GET", "/sessions/bot/no-uuid", keyA, 404),
		as("session with NUL", "GET", "/sessions/bot/%00", adminKey, 404),
		as("sessions listed by a caller", "GET", "/sessions/bot", keyA, 401),
		as("no sessions", "GET", "/sessions/bot?limit=0", adminKey, 400),
		as("too many sessions", "GET", "/sessions/bot?limit=1001", adminKey, 400),
		as("fewer than no sessions", "GET", "/sessions?limit=-1", adminKey, 400),
		as("sessions without number", "GET", "/sessions?limit=x", adminKey, 400),
		as("sessions beyond numbers", "GET", "/sessions?limit=99999999999999999999", adminKey, 400),
		as("sessions of a user with NUL", "GET", "/sessions?user=%00", adminKey, 200),
		as("sessions of a user that is not UTF-8", "GET", "/sessions?user=%ff%fe", adminKey, 200),
		as("erasing nobody", "DELETE", "/sessions?user=", adminKey, 400),
		as("erasing a user that is not UTF-8", "DELETE", "/sessions/bot?user=%ff", adminKey, 200),

		as("no entries", "GET", "/cache/bot?limit=0", adminKey, 400),
		as("entries before nothing", "GET", "/cache/bot?before=x", adminKey, 400),
		as("entries before less", "GET", "/cache/bot?before=-1", adminKey, 400),
		as("entries of no application", "GET", "/cache/%00", adminKey, 200),
		as("entry that is none", "GET", "/cache/bot/x", adminKey, 404),
		as("entry 0", "GET", "/cache/bot/0", adminKey, 404),
		as("entry beyond numbers", "DELETE", "/cache/bot/99999999999999999999", adminKey, 404),
		as("last entry of all numbers", "DELETE", "/cache/bot/9223372036854775807", adminKey, 404),
		as("entries without the admin's key", "DELETE", "/cache/bot", keyA, 401),

		as("request of another caller", "GET", "/requests/bot/"+request, keyB, 404),
		as("request of another tenant", "GET", "/requests/bot/"+request, keyC, 404),
		as("request without key", "GET", "/requests/bot/"+request, "", 401),
		as("request of another application", "GET", "/requests/other/"+request, keyA, 404),
		as("request of no application", "GET", "/requests/nobody/"+request, keyA, 404),
		as("request with NUL", "GET", "/requests/bot/%00", keyA, 404),
		as("request that is not UTF-8", "GET", "/requests/bot/%ff%fe", keyA, 404),
		as("request that is SQL", "GET", "/requests/bot/'%20OR%201=1%20--", keyA, 404),
		as("request of a long name", "GET", "/requests/bot/"+long, keyA, 404),
		as("vote of a stranger", "PUT", "/requests/bot/"+request+"/up", keyC, 404),
		as("vote without key", "PUT", "/requests/bot/"+request+"/up", "", 401),
		as("vote on nothing", "PUT", "/requests/bot/nothing/down", keyA, 404),
		as("vote on NUL", "PUT", "/requests/bot/%00/down", keyA, 404),
		as("vote that is none", "PUT", "/requests/bot/"+request+"/sideways", keyA, 400),
	}
	return cases
}

func TestBadInputIsAnsweredAndNothingIsLost(t *testing.T) {
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, `{`+badCallers+`"applications":[`+strings.Join(append(embedderApps(oddEmbedders(t), "nan", "busy", "hangs", "changing"), embedApp,
			chatApp("bot", cacheOn+`"memorySettings":{"useMemory":true,"entryExpiry":"1 hour"},"maxBodyBytes":2000000,`, "gpt-4o"),
			chatApp("other", memoryOn, "gpt-4o")), ",")+`]}`)
		begin := func() string {
			_, h, _ := k.post("/lb/bot", ask("", "It was a hat."), "Api-Key", keyA, "X-Request-Id", "of-a")
			return h.Get("X-Thread-Id")
		}
		expired := begin()
		k.advance(2 * time.Hour)
		thread := begin()
		k.idle()

		cases := append(badMessages(), badNames(thread, expired, "of-a")...)
		for _, name := range []string{"nan", "busy", "hangs", "changing"} {
			cases = append(cases, badCase{name: "odd embeddings: " + name, method: "POST", path: "/lb/odd-" + name, body: ask("", "Where is it?"), headers: []string{"Api-Key", keyA}, want: 200})
		}

		// Each by itself: a clear answer, and what was answered is stored.
		for i, c := range cases {
			id := fmt.Sprintf("bad-%d", i)
			r := k.call(c.method, c.path, c.body, append(slices.Clone(c.headers), "X-Request-Id", id)...)
			if r.status != c.want || r.status >= 400 && gjson.Get(r.body, "error.message").String() == "" {
				t.Errorf("%s: %d %.300s, want %d", c.name, r.status, r.body, c.want)
			}
			if c.method != http.MethodPost || r.status != http.StatusOK {
				continue
			}
			k.eventually("the row of "+c.name, func() bool {
				r := k.call(http.MethodGet, "/requests/"+c.path[len("/lb/"):]+"/"+id, "", "Api-Key", keyA)
				return r.status == http.StatusOK && sameText(gjson.Get(r.body, "prompt"), gjson.Parse(c.body))
			})
			// Its conversation goes on, and the model is told the same again.
			if begun := r.header.Get("X-Thread-Id"); begun != "" && c.path == "/lb/bot" && !c.heavy {
				next := k.call(http.MethodPost, c.path, ask("", "And then?"), append(slices.Clone(c.headers), "X-Thread-Id", begun)...)
				seen := k.sim.Requests()
				told := gjson.GetBytes(seen[len(seen)-1].Body, "messages")
				if next.status != http.StatusOK || !sameText(told.Get("0"), gjson.Get(c.body, "messages.0")) || told.Get("@reverse.0.content").String() != "And then?" {
					t.Errorf("%s: its conversation: %d %.300s; the model was told %.300s", c.name, next.status, next.body, told)
				}
			}
		}

		// A hundred times over, from many clients.
		total := 2000
		if os.Getenv("CANARY") != "" || *canaryRequests > 0 {
			total = 10_000
		}
		var at atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for {
					n := int(at.Add(1))
					if n > total {
						return
					}
					c := &cases[n%len(cases)]
					if c.heavy && n > len(cases) && n%10 != 0 {
						c = &cases[0]
					}
					if r := k.call(c.method, c.path, c.body, c.headers...); r.status != c.want {
						t.Errorf("%s, among others: %d %.300s, want %d", c.name, r.status, r.body, c.want)
					}
				}
			})
		}
		all.Wait()
		k.idle()
		k.eventually("every connection is back in the pool", func() bool { return db.State().InUse == 0 })
		if open := k.sim.Open(); open != 0 {
			t.Errorf("%d calls are still open", open)
		}
		w, p := k.writer.Stats(), k.pool.Stats()
		if w.Lost+w.Rejected != 0 || p.Dropped+p.Faults != 0 || !db.State().Up {
			t.Errorf("after all that: prompts %+v, cache %+v, store %+v", w, p, db.State())
		}

		// And all is well.
		_, _, session := k.get("/sessions/bot/"+thread, "Api-Key", keyA)
		if n := gjson.Get(session, "interactions.#").Int(); n != 1 {
			t.Errorf("strangers changed the conversation: %s", session)
		}
		if status, _, body := k.post("/lb/bot", ask("", "What was it?"), "Api-Key", keyA, "X-Thread-Id", strings.ToUpper(thread)); status != http.StatusOK {
			t.Errorf("going on: %d %s", status, body)
		}
		if got := k.said(); len(got) != 3 || got[0] != "user: It was a hat." {
			t.Errorf("the model was told %q", got)
		}
		if status, _, body := k.get("/requests/bot/of-a", "Api-Key", keyA); status != http.StatusOK || gjson.Get(body, "votesUp").Int()+gjson.Get(body, "votesDown").Int() != 0 {
			t.Errorf("strangers voted: %d %s", status, body)
		}
	})
}

// sameText compares JSON values as they were sent, apart from spaces.
func sameText(got, want gjson.Result) bool {
	return got.Get("@ugly").Raw == want.Get("@ugly").Raw && got.Exists()
}

func TestConversationThatIsSentAgainIsNotKeptTwice(t *testing.T) {
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, applications(embedApp, chatApp("bot", memoryOn, "gpt-4o")))
		_, h, first := k.post("/lb/bot", `{"messages":[{"role":"system","content":"Be \ud800 brief."},{"role":"user","content":"One \u0000"}]}`)
		thread := h.Get("X-Thread-Id")
		whole := `{"messages":[{"role":"system","content":"Be \ud800 brief."},{"role":"user","content":"One \u0000"},{"role":"assistant","content":` +
			gjson.Get(first, "choices.0.message.content").Raw + `}%s]}`
		if status, _, body := k.post("/lb/bot", fmt.Sprintf(whole, ""), "X-Thread-Id", thread); status != http.StatusBadRequest {
			t.Errorf("nothing new: %d %s", status, body)
		}
		for i := range 3 {
			status, _, body := k.post("/lb/bot", fmt.Sprintf(whole, `,{"role":"user","content":"Two"}`), "X-Thread-Id", thread)
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			want := 4 + 2*i // the second question is asked three times
			if got := k.said(); len(got) != want {
				t.Errorf("time %d: the model was told %q, want %d messages", i, got, want)
			}
		}
	})
}
