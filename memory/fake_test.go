package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aigateway/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is a Store in memory. before, unless nil, is asked before each
// call; its error is the call's.
type fakeStore struct {
	before func(ctx context.Context, op string, t *Turn) error

	mu      sync.Mutex // guards what follows
	threads map[thread]*fakeThread
	turns   map[string]bool
	calls   []string
}

type fakeThread struct {
	Record
	next int
}

func newFakeStore() *fakeStore {
	return &fakeStore{threads: map[thread]*fakeThread{}, turns: map[string]bool{}}
}

func (s *fakeStore) begin(ctx context.Context, op string, t *Turn) error {
	s.mu.Lock()
	s.calls = append(s.calls, op)
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ctx, op, t); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func kept(all []Interaction, keep int) []Interaction {
	if keep < 1 || len(all) <= keep {
		return slices.Clone(all)
	}
	return append([]Interaction{all[0]}, all[len(all)-keep+1:]...)
}

func (s *fakeStore) Thread(ctx context.Context, app, id string, keep int) (*Record, error) {
	if err := s.begin(ctx, "thread", nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.threads[thread{app, id}]
	if t == nil {
		return nil, ErrUnknown
	}
	r := t.Record
	r.Interactions = kept(t.Interactions, keep)
	return &r, nil
}

func (s *fakeStore) Append(ctx context.Context, turn *Turn) error {
	if err := s.begin(ctx, "append", turn); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns[turn.ID] {
		return nil
	}
	name := thread{turn.App, turn.Thread}
	t := s.threads[name]
	switch {
	case t == nil && !turn.Start:
		return ErrUnknown
	case t == nil:
		t = &fakeThread{Record: Record{ID: turn.Thread, App: turn.App, Caller: turn.Caller, Tenant: turn.Tenant, User: turn.User, Created: turn.At}}
		s.threads[name] = t
	}
	s.turns[turn.ID] = true
	t.Endpoint, t.Used = turn.Endpoint, turn.At
	i := slices.IndexFunc(t.Interactions, func(a Interaction) bool { return a.Number == turn.Extends })
	if i < 0 {
		t.Interactions = append(t.Interactions, Interaction{Number: t.next})
		t.next++
		i = len(t.Interactions) - 1
	}
	t.Interactions[i].Messages = append(slices.Clip(t.Interactions[i].Messages), turn.Messages...)
	t.Interactions = kept(t.Interactions, turn.Keep)
	return nil
}

func (s *fakeStore) Delete(ctx context.Context, app, id string) (bool, error) {
	if err := s.begin(ctx, "delete", nil); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.threads[thread{app, id}]
	delete(s.threads, thread{app, id})
	return was, nil
}

func (s *fakeStore) List(ctx context.Context, app, user string, limit int) ([]*Record, error) {
	if err := s.begin(ctx, "list", nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var rs []*Record
	for _, t := range s.threads {
		if (app == "" || t.App == app) && (user == "" || t.User == user) && len(rs) < limit {
			r := t.Record
			r.Interactions = nil
			rs = append(rs, &r)
		}
	}
	return rs, nil
}

func (s *fakeStore) Erase(ctx context.Context, app, user string) (n int, err error) {
	if err := s.begin(ctx, "erase", nil); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, t := range s.threads {
		if (app == "" || t.App == app) && t.User == user {
			delete(s.threads, name)
			n++
		}
	}
	return n, nil
}

func (s *fakeStore) Expire(context.Context, string, time.Time, int) (int, error) {
	return 0, fmt.Errorf("not for this package")
}

// request returns a request with messages given as role: text, or as JSON.
func request(t testing.TB, messages ...string) *openai.Request {
	t.Helper()
	req, err := openai.ParseRequest([]byte(`{"model":"m","messages":[` + strings.Join(encoded(messages), ",") + `],"user":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func encoded(messages []string) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = one(m)
	}
	return out
}

// one returns a message as JSON: of "u: text", with s, d, u, a or t for the
// role, or of JSON as it is.
func one(m string) string {
	if strings.HasPrefix(m, "{") {
		return m
	}
	role, text, ok := strings.Cut(m, ": ")
	long := map[string]string{"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}[role]
	if !ok || long == "" {
		panic("BUG: no message: " + m)
	}
	quoted, _ := json.Marshal(text)
	if role == "t" { // text is the call's id and the result
		id, result, _ := strings.Cut(text, " ")
		return fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":%q}`, id, result)
	}
	return fmt.Sprintf(`{"role":%q,"content":%s}`, long, quoted)
}

// asks is the assistant's message that asks for tool calls.
func asks(ids ...string) string {
	calls := make([]string, len(ids))
	for i, id := range ids {
		calls[i] = fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}`, id)
	}
	return `{"role":"assistant","content":null,"tool_calls":[` + strings.Join(calls, ",") + `]}`
}

// sent returns the request's messages, short ones in the form of one.
func sent(req *openai.Request) []string {
	return short(req.Messages())
}

func short[T ~[]byte](raws []T) []string {
	var out []string
	for _, raw := range raws {
		m := messagesOf([]T{raw})[0]
		var v struct{ Content string }
		if json.Unmarshal(raw, &v) == nil && v.Content != "" && !m.result() && !bytes.Contains(raw, []byte("tool_calls")) {
			s := m.role[:1] + ": " + v.Content
			if one(s) == string(raw) {
				out = append(out, s)
				continue
			}
		}
		out = append(out, string(raw))
	}
	return out
}

// talk is a conversation in a test: each turn must succeed.
type talk struct {
	t  testing.TB
	m  *Memory
	id string
}

// turn sends messages and adds the answer, and returns what reached the
// endpoint.
func (c *talk) turn(answer string, messages ...string) []string {
	c.t.Helper()
	req := request(c.t, messages...)
	th, err := c.m.Expand(c.t.Context(), c.id, Owner{}, req, nil)
	if err != nil {
		c.t.Fatalf("turn %q: %v", messages, err)
	}
	c.id = th.ID()
	if err := th.Append(c.t.Context(), "r", "u", "e", json.RawMessage(one(answer))); err != nil {
		c.t.Fatalf("adding the answer to %q: %v", messages, err)
	}
	return sent(req)
}
