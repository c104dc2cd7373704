package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"aigateway/db/spec"
	"aigateway/persist"
)

// said are the roles and texts that reached the model with the last chat.
func (k *keeping) said() []string {
	k.t.Helper()
	var list []string
	seen := k.sim.Requests()
	for _, m := range gjson.GetBytes(seen[len(seen)-1].Body, "messages").Array() {
		list = append(list, m.Get("role").String()+": "+m.Get("content").String())
	}
	return list
}

func TestConversationGoesOnByItsThread(t *testing.T) {
	for _, stream := range []string{"", `"stream":true,`} {
		k := newKeeping(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
		_, h, _ := k.post("/lb/bot", `{`+stream+`"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"One"}]}`)
		thread := h.Get("X-Thread-Id")
		if uuid.Validate(thread) != nil {
			t.Fatalf("x-thread-id %q, want a UUID", thread)
		}
		k.post("/lb/bot", ask(stream+``, "Two"), "X-Thread-Id", thread)
		_, h, _ = k.post("/lb/bot", ask(stream+``, "Three"), "X-Thread-Id", thread)
		if h.Get("X-Thread-Id") != thread {
			t.Errorf("x-thread-id %q, want %q", h.Get("X-Thread-Id"), thread)
		}
		got := k.said()
		if len(got) != 6 || got[0] != "system: Be brief." || got[1] != "user: One" || got[3] != "user: Two" || got[5] != "user: Three" ||
			!strings.HasPrefix(got[2], "assistant: ") || !strings.HasPrefix(got[4], "assistant: ") {
			t.Errorf("stream %q: the model was told %q", stream, got)
		}
	}
}

func TestWindowKeepsTheFirstInteractionAndTheLatest(t *testing.T) {
	k := newKeeping(t, applications(chatApp("bot", `"memorySettings":{"useMemory":true,"msgCount":3},`, "gpt-4o")))
	_, h, _ := k.post("/lb/bot", `{"messages":[{"role":"system","content":"S"},{"role":"user","content":"u0"}]}`)
	thread := h.Get("X-Thread-Id")
	for i := 1; i < 8; i++ {
		k.post("/lb/bot", ask("", "u"+strconv.Itoa(i)), "X-Thread-Id", thread)
	}
	got := k.said()
	var users []string
	for _, m := range got {
		if strings.HasPrefix(m, "user: ") {
			users = append(users, m[6:])
		}
	}
	if len(got) != 2*3+2 { // contract section 9: 2c+2
		t.Errorf("%d messages, want 8: %q", len(got), got)
	}
	if diff := cmp.Diff(users, []string{"u0", "u5", "u6", "u7"}); diff != "" {
		t.Errorf("users' messages (-got +want):\n%s", diff)
	}
}

func TestThreadThatIsNoneOfTheCallersIsUnknown(t *testing.T) {
	k := newKeeping(t, `{"callers":[{"id":"a","key":"key-of-caller-a","apps":["*"]},{"id":"b","key":"key-of-caller-b","apps":["*"]},
		{"id":"c","key":"key-of-caller-c","apps":["*"],"tenant":"t"}],
		"applications":[`+chatApp("bot", `"memorySettings":{"useMemory":true,"entryExpiry":"1 hour"},`, "gpt-4o")+`,`+chatApp("other", memoryOn, "gpt-4o")+`]}`)
	_, h, _ := k.post("/lb/bot", goodChat, "Api-Key", "key-of-caller-a")
	thread := h.Get("X-Thread-Id")
	for _, c := range []struct{ path, key, thread string }{
		{"/lb/bot", "key-of-caller-b", thread},
		{"/lb/bot", "key-of-caller-c", thread},
		{"/lb/other", "key-of-caller-a", thread},
		{"/lb/bot", "key-of-caller-a", "no-uuid"},
		{"/lb/bot", "key-of-caller-a", uuid.NewString()},
		{"/lb/bot", "key-of-caller-a", "{" + thread + "}"},
	} {
		status, _, body := k.post(c.path, goodChat, "Api-Key", c.key, "X-Thread-Id", c.thread)
		want := "The user session associated with Thread ID=[" + c.thread + "] has either expired or is invalid! Start a new user session."
		if status != http.StatusBadRequest || gjson.Get(body, "error.message").String() != want || gjson.Get(body, "error.code").String() != "invalidPayload" {
			t.Errorf("%+v: %d %s", c, status, body)
		}
		if c.path == "/lb/bot" {
			if status, _, _ := k.get("/sessions/bot/"+c.thread, "Api-Key", c.key); status != http.StatusNotFound && c.key != "key-of-caller-a" {
				t.Errorf("reading %+v: %d, want 404", c, status)
			}
		}
	}
	if status, _, body := k.get("/sessions/bot/"+thread, "Api-Key", "key-of-caller-a"); status != http.StatusOK || gjson.Get(body, "interactions.0.messages.#").Int() != 2 {
		t.Errorf("its owner reads %d %s", status, body)
	}
	k.advance(time.Hour + time.Minute)
	if status, _, _ := k.post("/lb/bot", goodChat, "Api-Key", "key-of-caller-a", "X-Thread-Id", thread); status != http.StatusBadRequest {
		t.Errorf("an hour later: %d, want 400", status)
	}
}

func TestBrokenStreamLeavesNoHalfTurn(t *testing.T) {
	k := newKeeping(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
	_, h, _ := k.post("/lb/bot", goodChat)
	thread := h.Get("X-Thread-Id")
	resp := k.send("POST", "/lb/bot", strings.NewReader(ask(`"stream":true,"user":"sim:words=50;cut=5",`, "Tell a story")), "X-Thread-Id", thread)
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the broken answer looks whole")
	}
	if _, _, body := k.get("/sessions/bot/"+thread, "Authorization", "Bearer "+adminKey); gjson.Get(body, "interactions.#").Int() != 1 {
		t.Errorf("the thread holds a half turn: %s", body)
	}
}

func TestThreadThatIsOverCanBeEndedAndErased(t *testing.T) {
	k := newKeeping(t, applications(chatApp("bot", memoryOn, "gpt-4o")))
	admin := []string{"Authorization", "Bearer " + adminKey}
	threads := make([]string, 3)
	for i := range threads {
		_, h, _ := k.post("/lb/bot", ask(`"user":"ann",`, "Hello "+strconv.Itoa(i)))
		threads[i] = h.Get("X-Thread-Id")
	}
	if status, _, _ := k.get("/sessions/bot?user=ann"); status != http.StatusUnauthorized {
		t.Errorf("listing without the admin's key: %d, want 401", status)
	}
	if _, _, body := k.get("/sessions/bot?user=ann", admin...); gjson.Get(body, "sessions.#").Int() != 3 {
		t.Errorf("ann's sessions: %s", body)
	}
	if status, _, _ := k.do("DELETE", "/sessions/bot/"+threads[0], ""); status != http.StatusNoContent {
		t.Errorf("ending a thread: %d, want 204", status)
	}
	if status, _, _ := k.post("/lb/bot", goodChat, "X-Thread-Id", threads[0]); status != http.StatusBadRequest {
		t.Errorf("after its end: %d, want 400", status)
	}
	if status, _, body := k.do("DELETE", "/sessions?user=ann", "", admin...); status != http.StatusOK || gjson.Get(body, "deleted").Int() != 2 {
		t.Errorf("erasing ann: %d %s", status, body)
	}
	if _, _, body := k.get("/sessions?user=ann", admin...); gjson.Get(body, "sessions.#").Int() != 0 {
		t.Errorf("ann is still there: %s", body)
	}
}

func TestHitBeginsAThreadThatGoesOn(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn+memoryOn, "gpt-4o")))
	k.post("/lb/bot", ask("", "What is a gateway?"))
	for _, stream := range []string{"", `"stream":true,`} {
		_, h, _ := k.post("/lb/bot", ask(stream, "What is a gateway?"))
		if h.Get("X-Cache") != "hit" || h.Get("X-Thread-Id") == "" {
			t.Fatalf("x-cache %q, x-thread-id %q", h.Get("X-Cache"), h.Get("X-Thread-Id"))
		}
		k.post("/lb/bot", ask("", "And what is a bridge?"), "X-Thread-Id", h.Get("X-Thread-Id"))
		if got := k.said(); len(got) != 3 || got[0] != "user: What is a gateway?" || !strings.HasPrefix(got[1], "assistant: ") {
			t.Errorf("the model was told %q", got)
		}
	}
}

func TestStoredRequestIsReadByItsOwner(t *testing.T) {
	k := newKeeping(t, `{"callers":[{"id":"a","key":"key-of-caller-a","apps":["*"]},{"id":"b","key":"key-of-caller-b","apps":["*"]}],
		"persist":{"redact":["secret-[0-9]+"]},
		"applications":[`+embedApp+`,`+chatApp("bot", cacheOn, "gpt-4o")+`,`+chatApp("quiet", `"persist":{"content":false},`, "gpt-4o")+`]}`)
	body := ask(`"user":"ann",`, "My card is secret-123 "+promptMarker)
	k.post("/lb/bot", body, "Api-Key", "key-of-caller-a", "X-Request-Id", "first")
	k.post("/lb/bot", body, "Api-Key", "key-of-caller-a", "X-Request-Id", "second")
	k.post("/lb/bot", ask(`"stream":true,`, "Stream it"), "Api-Key", "key-of-caller-a", "X-Request-Id", "streamed")
	k.post("/lb/quiet", body, "Api-Key", "key-of-caller-a", "X-Request-Id", "quiet")
	read := func(path, key string) (status int, row gjson.Result) {
		k.eventually("the row of "+path, func() bool {
			var text string
			status, _, text = k.get(path, "Api-Key", key)
			row = gjson.Parse(text)
			return status != http.StatusNotFound || key == "key-of-caller-b"
		})
		return status, row
	}
	_, row := read("/requests/bot/first", "key-of-caller-a")
	if got := row.Get("prompt.messages.0.content").String(); got != "My card is [redacted] "+promptMarker {
		t.Errorf("prompt %q", got)
	}
	if row.Get("user").String() != "ann" || row.Get("caller").String() != "a" || row.Get("status").Int() != 200 || row.Get("cached").Bool() ||
		row.Get("attempts.0.endpoint").String() != "gpt-4o" || row.Get("usage.totalTokens").Int() == 0 || row.Get("finishReason").String() != "stop" {
		t.Errorf("row %s", row)
	}
	if _, row = read("/requests/bot/second", "key-of-caller-a"); !row.Get("cached").Bool() || row.Get("completion.choices.0.message.content").String() == "" {
		t.Errorf("row of a hit %s", row)
	}
	if _, row = read("/requests/bot/streamed", "key-of-caller-a"); row.Get("completion.object").String() != "chat.completion" || !row.Get("stream").Bool() {
		t.Errorf("row of a stream %s", row)
	}
	if _, row = read("/requests/quiet/quiet", "key-of-caller-a"); row.Get("prompt").Type != gjson.Null || row.Get("completion").Type != gjson.Null || row.Get("status").Int() != 200 {
		t.Errorf("row without content %s", row)
	}
	if status, _ := read("/requests/bot/first", "key-of-caller-b"); status != http.StatusNotFound {
		t.Errorf("another caller reads it: %d", status)
	}
	for _, c := range []struct {
		key, vote string
		want      int
	}{
		{"key-of-caller-a", "up", 204},
		{"key-of-caller-a", "down", 204},
		{"key-of-caller-b", "up", 404},
		{"key-of-caller-a", "sideways", 400},
	} {
		if status, _, answer := k.do("PUT", "/requests/bot/first/"+c.vote, "", "Api-Key", c.key); status != c.want {
			t.Errorf("%+v: %d %s", c, status, answer)
		}
	}
	if _, row = read("/requests/bot/first", adminKey); row.Get("votesUp").Int() != 0 || row.Get("votesDown").Int() != 1 {
		t.Errorf("votes %s", row)
	}
}

// Request ids are the clients' to choose: two may choose the same.
func TestRepeatedRequestIDHidesNobodysRow(t *testing.T) {
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, `{"callers":[{"id":"a","key":"key-of-caller-a","apps":["*"]},{"id":"b","key":"key-of-caller-b","apps":["*"]}],
			"applications":[`+embedApp+`,`+chatApp("bot", "", "gpt-4o")+`]}`)
		begun := time.Now()
		for i, key := range []string{"key-of-caller-a", "key-of-caller-b"} {
			k.freeze(begun.Add(time.Duration(i) * time.Second))
			k.post("/lb/bot", goodChat, "Api-Key", key, "X-Request-Id", "same")
			k.idle()
		}
		row := func(key string) (caller string, up, down int64) {
			_, _, body := k.get("/requests/bot/same", "Api-Key", key)
			r := gjson.Parse(body)
			return r.Get("caller").String(), r.Get("votesUp").Int(), r.Get("votesDown").Int()
		}
		want := func(key, caller string, up, down int64) {
			t.Helper()
			if c, u, d := row(key); c != caller || u != up || d != down {
				t.Errorf("%s reads the row of %q, votes %d and %d, want that of %q, %d and %d", key, c, u, d, caller, up, down)
			}
		}
		want("key-of-caller-a", "a", 0, 0)
		want("key-of-caller-b", "b", 0, 0)
		want(adminKey, "b", 0, 0) // the latest
		for _, v := range []struct{ key, vote string }{{"key-of-caller-a", "up"}, {"key-of-caller-b", "down"}} {
			if status, _, body := k.do("PUT", "/requests/bot/same/"+v.vote, "", "Api-Key", v.key); status != http.StatusNoContent {
				t.Errorf("%+v: %d %s", v, status, body)
			}
		}
		want("key-of-caller-a", "a", 1, 0)
		want("key-of-caller-b", "b", 0, 1)
		k.do("PUT", "/requests/bot/same/up", "", "Api-Key", adminKey)
		want("key-of-caller-a", "a", 2, 0)
		want("key-of-caller-b", "b", 1, 1)
	})
}

// Where nobody is asked who they are, a vote is nobody's.
func TestVoteOfNobodyIsOnARequestOfNobody(t *testing.T) {
	k := newKeeping(t, applications(chatApp("bot", "", "gpt-4o")))
	k.post("/lb/bot", goodChat, "X-Request-Id", "open")
	k.idle()
	owned := &persist.Record{ID: uuid.NewString(), Exchange: persist.Exchange{App: "bot", RequestID: "owned", Caller: "a", Start: time.Now()}}
	if _, err := k.db.Prompts().Insert(t.Context(), []*persist.Record{owned}); err != nil {
		t.Fatal(err)
	}
	admin := []string{"Authorization", "Bearer " + adminKey}
	for _, c := range []struct {
		request string
		headers []string
		want    int
	}{
		{"open", nil, http.StatusNoContent},
		{"owned", nil, http.StatusNotFound}, // from when callers were configured
		{"owned", admin, http.StatusNoContent},
		{"unknown", nil, http.StatusNotFound},
		{"unknown", admin, http.StatusNotFound},
	} {
		if status, _, body := k.do("PUT", "/requests/bot/"+c.request+"/up", "", c.headers...); status != c.want {
			t.Errorf("%s %q: %d %s, want %d", c.request, c.headers, status, body, c.want)
		}
	}
	for _, request := range []string{"open", "owned"} {
		if _, _, body := k.get("/requests/bot/"+request, admin...); gjson.Get(body, "votesUp").Int() != 1 {
			t.Errorf("%s: %s", request, body)
		}
	}
}

func TestRefusalsOfTheGatewayAreNotStored(t *testing.T) {
	k := newKeeping(t, applications(chatApp("bot", "", "gpt-4o")))
	k.post("/lb/bot", `{"messages":"no list"}`, "X-Request-Id", "ours")
	k.post("/lb/bot", ask(`"user":"sim:status=400",`, "Bad"), "X-Request-Id", "theirs")
	k.post("/lb/bot", ask(`"user":"sim:status=429",`, "Busy"), "X-Request-Id", "busy")
	admin := []string{"Authorization", "Bearer " + adminKey}
	k.eventually("the backend's refusal is stored", func() bool {
		status, _, body := k.get("/requests/bot/theirs", admin...)
		return status == http.StatusOK && gjson.Get(body, "status").Int() == 400 && gjson.Get(body, "completion.error").Exists()
	})
	for _, id := range []string{"ours", "busy"} {
		if status, _, body := k.get("/requests/bot/"+id, admin...); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", id, status, body)
		}
	}
}

func TestCacheEntriesAreTheAdminsToSeeAndDelete(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	admin := []string{"Authorization", "Bearer " + adminKey}
	for _, q := range []string{"What is a hat?", "Where is Rome?", "Who wrote Faust?"} {
		k.post("/lb/bot", ask("", q))
	}
	k.post("/lb/bot", ask("", "Where is Rome?"))
	var list gjson.Result
	k.eventually("three entries", func() bool {
		_, _, body := k.get("/cache/bot", admin...)
		list = gjson.Get(body, "entries")
		return list.Get("#").Int() == 3
	})
	if status, _, _ := k.get("/cache/bot"); status != http.StatusUnauthorized {
		t.Errorf("without the admin's key: %d, want 401", status)
	}
	id := list.Get(`#(prompt=="Where is Rome?").id`).String()
	if _, _, body := k.get("/cache/bot/"+id, admin...); !json.Valid([]byte(body)) || !gjson.Get(body, "completion.choices").Exists() {
		t.Errorf("entry %s: %s", id, body)
	}
	if status, _, _ := k.do("DELETE", "/cache/bot/"+id, "", admin...); status != http.StatusNoContent {
		t.Errorf("deleting: %d", status)
	}
	if status, _, _ := k.do("DELETE", "/cache/bot/"+id, "", admin...); status != http.StatusNotFound {
		t.Errorf("deleting again: %d, want 404", status)
	}
	if _, h, _ := k.post("/lb/bot", ask("", "Where is Rome?"), "Cache-Control", "no-store"); h.Get("X-Cache") == "hit" {
		t.Error("a deleted entry answers")
	}
	if _, _, body := k.do("DELETE", "/cache/bot", "", admin...); gjson.Get(body, "deleted").Int() != 2 {
		t.Errorf("purging: %s", body)
	}
	if _, h, _ := k.post("/lb/bot", ask("", "What is a hat?")); h.Get("X-Cache") == "hit" {
		t.Error("a purged entry answers")
	}
}
