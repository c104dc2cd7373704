package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"aigateway/openai"
)

// Thread is one conversation in one request. A nil Thread is none.
type Thread struct {
	memory   *Memory
	owner    Owner
	id       string
	status   string
	endpoint string
	started  bool
	fresh    []*message // share the request's bytes
	extends  int
}

// Expand puts what was said before in front of the request's messages, as much
// of it as budget (nil: all) lets in, and leaves out those that the client
// sends again. An empty id begins a
// conversation, and does not ask the store. nil and a request without messages
// are no conversation.
//
// Errors: *InvalidThread, *UnavailableError, *NothingNew, *TooLong, and an
// *openai.RequestError for more messages than can be compared with those of a
// conversation, which are 4,096; the request is then unchanged.
func (m *Memory) Expand(ctx context.Context, id string, who Owner, req *openai.Request, budget *Budget) (*Thread, error) {
	if m == nil || !req.HasMessages {
		return nil, nil
	}
	asked := messagesOf(req.Messages())
	t := &Thread{memory: m, owner: who, extends: -1}
	if id == "" {
		if m.threads.down() {
			t.status = "unavailable"
			return t, nil
		}
		if n := length(asked); n > m.set.MaxBytes {
			return nil, &TooLong{Bytes: n, Limit: m.set.MaxBytes}
		}
		fresh, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("making a conversation's id: %w", err)
		}
		t.id, t.started, t.fresh = fresh.String(), true, asked
		return t, nil
	}

	r, err := m.load(ctx, id, who, false, m.keep())
	if err != nil {
		return nil, err
	}
	if len(asked) > maxMessages {
		return nil, &openai.RequestError{Param: "messages", Message: fmt.Sprintf(
			"The request has %d messages. In a conversation that goes on it may have %d: send those that are new.", len(asked), maxMessages)}
	}
	t.id, t.endpoint = r.ID, r.Endpoint
	stored := parse(r.Interactions)
	if t.fresh = unsaid(asked, stored); len(t.fresh) == 0 {
		return nil, &NothingNew{}
	}
	t.extends = extended(t.fresh, stored)
	said := append(window(stored, m.set.Keep, t.extends, budget.room(asked, t.fresh)), t.fresh...)
	n := length(said)
	if n > m.set.MaxBytes {
		return nil, &TooLong{Bytes: n, Limit: m.set.MaxBytes}
	}
	if err := req.Set("messages", join(said, n)); err != nil {
		return nil, fmt.Errorf("putting the conversation in front of the request: %w", err)
	}
	return t, nil
}

// keep is the window that is stored. It holds the latest interaction also when
// only the first is sent, because a tool's result may go on with it, and to
// tell what a client sends again.
func (m *Memory) keep() int {
	if m.set.Keep == 1 {
		return 2
	}
	return m.set.Keep
}

// ID returns the conversation's UUID, or "" when there is no conversation.
func (t *Thread) ID() string {
	if t == nil {
		return ""
	}
	return t.id
}

// Started reports whether the request begins the conversation.
func (t *Thread) Started() bool { return t != nil && t.started }

// Endpoint returns the id of the endpoint that answered last, or "".
func (t *Thread) Endpoint() string {
	if t == nil {
		return ""
	}
	return t.endpoint
}

// Status is "unavailable" when there should be a conversation and is none,
// because the store is down; otherwise "".
func (t *Thread) Status() string {
	if t == nil {
		return ""
	}
	return t.status
}

// Append adds the request's new messages and the assistant's message that
// answered them. requestID and endpoint name the request and who answered it;
// user is the body's user. It goes on when ctx is cancelled: the answer was
// given.
//
// When it returns nil the turn is durable. ErrPending: the store has not taken
// it; it waits in memory, and this process shows no later turn without it.
// After any other error it is lost, and the thread goes on without it.
func (t *Thread) Append(ctx context.Context, requestID, user, endpoint string, said json.RawMessage) error {
	if t == nil || t.id == "" {
		return nil
	}
	if len(said) == 0 {
		return errors.New("adding a turn to the conversation: there is no answer to keep")
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("making a turn's id: %w", err)
	}
	m := t.memory
	turn := &Turn{
		ID: id.String(), RequestID: requestID, Thread: t.id, App: m.set.App,
		Caller: t.owner.Caller, Tenant: t.owner.Tenant, User: user, Endpoint: endpoint,
		Start: t.started, Extends: t.extends,
		Messages: make([]json.RawMessage, 0, len(t.fresh)+1),
		At:       m.threads.now(), Keep: m.keep(),
	}
	for _, f := range t.fresh {
		turn.Messages = append(turn.Messages, slices.Clone(f.raw)) // the request's buffer is used again
	}
	turn.Messages = append(turn.Messages, slices.Clone(said))
	if err := m.threads.add(context.WithoutCancel(ctx), turn); err != nil {
		return fmt.Errorf("adding a turn to the conversation: %w", err)
	}
	return nil
}

// length returns how long messages are as a JSON array.
func length(ms []*message) int {
	n := 1 + len(ms)
	for _, m := range ms {
		n += len(m.raw)
	}
	return n
}

// join returns messages as a JSON array of n bytes.
func join(ms []*message, n int) json.RawMessage {
	b := make([]byte, 0, n)
	b = append(b, '[')
	for i, m := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.raw...)
	}
	return append(b, ']')
}
