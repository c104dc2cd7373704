package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"aigateway/db/dbtest"
	"aigateway/db/postgres"
	"aigateway/db/spec"
)

// farAway is how much longer a round trip to the database takes for one of two
// replicas: time enough to see what it has not written yet.
const farAway = 10 * time.Millisecond

// newReplicas starts two gateways that share a new database, which is far away
// for the second, and the first one's models: what those of others answered is
// no answer.
func newReplicas(t *testing.T, configJSON string) (a, b *keeping) {
	t.Helper()
	near := dbtest.Postgres(t)
	proxy, far := dbtest.NewProxy(t, near)
	var dbs [2]spec.DB
	for i, url := range []string{near, far} {
		db, err := postgres.Open(t.Context(), url, spec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		dbs[i] = db
	}
	a = newKeepingOn(t, dbs[0], configJSON)
	b = newKeepingOn(t, dbs[1], strings.ReplaceAll(configJSON, "{{sim}}", a.simURL))
	proxy.Delay(farAway)
	t.Cleanup(func() { // b ends first, and looks for goroutines then
		a.client.CloseIdleConnections()
		a.server.CloseIdle(0)
	})
	return a, b
}

// What of a stream tells a client that it has the whole answer: many wait for
// no more than the first.
const (
	finishes   = `"finish_reason":"stop"`
	terminates = "data: [DONE]"
)

// untilTold makes a request and returns as soon as the client has the whole
// answer: of a stream, with the event that has told in it. rest reads what
// follows.
func (k *keeping) untilTold(told, path, body string, headers ...string) (r reply, rest func()) {
	k.t.Helper()
	resp := k.send(http.MethodPost, path, strings.NewReader(body), headers...)
	rest = func() {
		k.t.Helper()
		more, err := io.ReadAll(resp.Body)
		if text := strings.TrimSpace(string(more)); err != nil || text != "" && !strings.HasSuffix(text, terminates) {
			k.t.Errorf("after the end of an answer: %q, %v", more, err)
		}
		resp.Body.Close()
	}
	r.status, r.header = resp.StatusCode, resp.Header
	if n := resp.ContentLength; n >= 0 {
		all, err := io.ReadAll(io.LimitReader(resp.Body, n))
		if err != nil {
			k.t.Fatal(err)
		}
		r.body = string(all)
		return r, rest
	}
	var text strings.Builder
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadString('\n')
		if text.WriteString(line); strings.Contains(line, told) {
			r.body = text.String()
			return r, rest
		}
		if err != nil {
			k.t.Fatalf("%v after %q", err, text.String())
		}
	}
}

func TestTurnsThatAlternateBetweenReplicasSeeAllBefore(t *testing.T) {
	for _, told := range []string{finishes, terminates} {
		a, b := newReplicas(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
		var said, headers []string
		restOfLast := func() {}
		for i := range 12 {
			k := []*keeping{a, b}[i%2]
			members := ""
			if i%4 < 2 { // streams after both, and both after streams
				members = `"stream":true,`
			}
			question := fmt.Sprintf("Question %d", i)
			r, rest := k.untilTold(told, "/lb/bot", ask(members, question), headers...)
			restOfLast()
			restOfLast = rest
			thread := r.header.Get("X-Thread-Id")
			if r.status != http.StatusOK || thread == "" || len(headers) > 0 && thread != headers[1] || r.header.Get("X-Thread-Status") != "" {
				t.Fatalf("%s: turn %d: %d, thread %q of %q: %s", told, i, r.status, thread, headers, r.body)
			}
			headers = []string{"X-Thread-Id", thread}
			said = append(said, "user: "+question)
			if diff := cmp.Diff(said, a.said()); diff != "" {
				t.Fatalf("%s: turn %d: the model was told (-want +got):\n%s", told, i, diff)
			}
			_, answer := r.text()
			said = append(said, "assistant: "+answer)
		}
		restOfLast()
	}
}

func TestConversationThatBeginsWithAHitGoesOnAtTheOtherReplica(t *testing.T) {
	const paced = `"cacheSettings":{"useCache":true,"replay":{"mode":"paced","speed":1e9}},`
	a, b := newReplicas(t, applications(embedApp, chatApp("whole", cacheOn+memoryOn, "gpt-4o"), chatApp("paced", paced+memoryOn, "gpt-4o")))
	for _, app := range []string{"whole", "paced"} {
		a.untilStored(app, "What is a gateway?")
		for _, members := range []string{"", `"stream":true,`} {
			for _, told := range []string{finishes, terminates} {
				r, rest := b.untilTold(told, "/lb/"+app, ask(members, "What is a gateway?"))
				status, _, body := a.post("/lb/"+app, ask("", "And what is a bridge?"), "X-Thread-Id", r.header.Get("X-Thread-Id"))
				rest()
				if r.header.Get("X-Cache") != "hit" {
					t.Errorf("%s: x-cache %q", app, r.header.Get("X-Cache"))
				}
				_, answer := r.text()
				if status != http.StatusOK {
					t.Errorf("%s, %sup to %s: the second turn: %d %s", app, members, told, status, body)
				} else if diff := cmp.Diff([]string{"user: What is a gateway?", "assistant: " + answer, "user: And what is a bridge?"}, a.said()); diff != "" {
					t.Errorf("%s, %sup to %s: the model was told (-want +got):\n%s", app, members, told, diff)
				}
			}
		}
	}
}

// untilStored asks a new question of an application that has no entries yet.
func (k *keeping) untilStored(app, question string) {
	k.t.Helper()
	k.post("/lb/"+app, ask("", question))
	k.entries(app, 1)
}

func TestTurnsThatReplicasTakeAtOnceAreAllKept(t *testing.T) {
	a, b := newReplicas(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
	first := a.call(http.MethodPost, "/lb/bot", ask("", "Begin"))
	thread := first.header.Get("X-Thread-Id")
	const each = 6
	var turns sync.WaitGroup
	for i, k := range []*keeping{a, b} {
		for n := range each {
			turns.Go(func() {
				members := ""
				if n%2 == 0 {
					members = `"stream":true,`
				}
				r := k.call(http.MethodPost, "/lb/bot", ask(members, fmt.Sprintf("Question %d of replica %d", n, i)), "X-Thread-Id", thread)
				if r.status != http.StatusOK || r.header.Get("X-Thread-Status") != "" {
					t.Errorf("%d, status %q: %s", r.status, r.header.Get("X-Thread-Status"), r.body)
				}
			})
		}
	}
	turns.Wait()
	_, _, page := b.get("/sessions/bot/"+thread, "Authorization", "Bearer "+adminKey)
	interactions := gjson.Get(page, "interactions").Array()
	seen := map[string]bool{}
	for _, in := range interactions {
		question, answer := in.Get("messages.0.content").String(), in.Get("messages.1.content").String()
		if in.Get("messages.#").Int() != 2 || !strings.Contains(answer, question) || seen[question] {
			t.Errorf("a turn was stored as %s", in)
		}
		seen[question] = true
	}
	if len(seen) != 2*each+1 || interactions[0].Get("messages.0.content").String() != "Begin" {
		t.Errorf("%d turns are kept, want %d, the first first: %s", len(seen), 2*each+1, page)
	}
}

func TestThreadEndedOnOneReplicaIsUnknownToTheOther(t *testing.T) {
	a, b := newReplicas(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
	admin := []string{"Authorization", "Bearer " + adminKey}
	for _, c := range []struct{ name, path string }{
		{"ended", "/sessions/bot/"},
		{"erased", "/sessions?user="},
	} {
		_, h, _ := a.post("/lb/bot", ask(`"user":"ann",`, "Hello"))
		thread := h.Get("X-Thread-Id")
		if status, _, body := b.post("/lb/bot", ask("", "And on"), "X-Thread-Id", thread); status != http.StatusOK {
			t.Fatalf("%s: before: %d %s", c.name, status, body)
		}
		target := c.path + thread
		if c.name == "erased" {
			target = c.path + "ann"
		}
		if status, _, body := a.do(http.MethodDelete, target, "", admin...); status >= 300 {
			t.Fatalf("%s: %d %s", c.name, status, body)
		}
		for i, k := range []*keeping{a, b} {
			if status, _, body := k.post("/lb/bot", ask("", "And on"), "X-Thread-Id", thread); status != http.StatusBadRequest || gjson.Get(body, "error.code").String() != "invalidPayload" {
				t.Errorf("%s: replica %d: %d %s", c.name, i, status, body)
			}
			if status, _, _ := k.get("/sessions/bot/"+thread, admin...); status != http.StatusNotFound {
				t.Errorf("%s: replica %d reads it: %d", c.name, i, status)
			}
		}
	}
}

func TestEntryMadeOnOneReplicaIsAHitOnTheOther(t *testing.T) {
	a, b := newReplicas(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	admin := []string{"Authorization", "Bearer " + adminKey}
	question := ask("", "How do I reset my router?")
	_, _, first := a.post("/lb/bot", question)
	a.entries("bot", 1)
	chats, embeddings := a.sim.Calls("gpt-4o"), a.sim.Calls("embed-ada-002")
	calls := func() [2]int {
		return [2]int{a.sim.Calls("gpt-4o") - chats, a.sim.Calls("embed-ada-002") - embeddings}
	}
	hit := func(k *keeping, body, layer string) (entry string) {
		t.Helper()
		status, h, answer := k.post("/lb/bot", body, "Cache-Control", "no-store")
		if status != http.StatusOK || h.Get("X-Cache") != "hit" || h.Get("X-Cache-Layer") != layer || answer != first {
			t.Errorf("%d, x-cache %q, layer %q, want the %s layer's hit: %s", status, h.Get("X-Cache"), h.Get("X-Cache-Layer"), layer, answer)
		}
		return h.Get("X-Cache-Entry")
	}

	// Near without having met the text itself, then the text itself, which the
	// database has.
	near := hit(b, ask("", "Please tell me how I can reset my router"), "semantic")
	if got := calls(); got != [2]int{0, 1} {
		t.Errorf("calls of the chat and the embedding model: %v, want one embedding", got)
	}
	same := hit(b, question, "exact")
	if got := calls(); got != [2]int{0, 1} {
		t.Errorf("calls after the exact hit: %v, want none more", got)
	}
	if near == "" || near != same {
		t.Errorf("entries %q and %q, want the same", near, same)
	}

	// Deleted on the one, it is forgotten by the other: in 30 seconds.
	if status, _, body := a.do(http.MethodDelete, "/cache/bot/"+same, "", admin...); status != http.StatusNoContent {
		t.Fatalf("deleting: %d %s", status, body)
	}
	b.advance(31 * time.Second)
	for i, k := range []*keeping{a, b} {
		for _, body := range []string{question, ask("", "Please tell me how I can reset my router")} {
			if _, h, _ := k.post("/lb/bot", body, "Cache-Control", "no-store"); h.Get("X-Cache") != "miss; reason=no-store" {
				t.Errorf("replica %d: x-cache %q after the entry's end", i, h.Get("X-Cache"))
			}
		}
	}
}

func TestEntryIsReadFromTheDatabaseWithoutAnEmbedding(t *testing.T) {
	a, b := newReplicas(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	for i, question := range []string{"What is a gateway?", "Where do herons sleep?"} {
		members := []string{"", `"stream":true,`}[i]
		first := a.call(http.MethodPost, "/lb/bot", ask(members, question))
		a.entries("bot", i+1)
		again := b.call(http.MethodPost, "/lb/bot", ask(members, question))
		_, want := first.text()
		if _, got := again.text(); again.header.Get("X-Cache-Layer") != "exact" || got != want || got == "" {
			t.Errorf("%s layer %q: %q, want %q", members, again.header.Get("X-Cache-Layer"), got, want)
		}
	}
	if chats, embeddings := a.sim.Calls("gpt-4o"), a.sim.Calls("embed-ada-002"); chats != 2 || embeddings != 2 {
		t.Errorf("the models were asked %d and %d times, want twice each, by the first replica", chats, embeddings)
	}
}
