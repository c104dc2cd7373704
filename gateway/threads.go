package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"aigateway/memory"
	"aigateway/openai"
	"aigateway/persist"
)

// expand puts what was said before in front of the request, or begins a
// conversation. It says in the header which one it is, but of a new one only
// once it has been answered: see sayThread.
func (s *Server) expand(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) (*memory.Thread, error) {
	thread, err := in.app.Memory.Expand(c.Request.Context(), in.thread, memory.Owner{Caller: x.Caller, Tenant: x.Tenant}, req, in.budget(req, x))
	if err != nil || thread == nil {
		return nil, err
	}
	if status := thread.Status(); status != "" {
		c.Writer.Header()["X-Thread-Status"] = []string{status}
		return nil, nil //nolint:nilnil // the request goes on without a conversation
	}
	x.Thread = thread.ID()
	if !thread.Started() {
		sayThread(c, thread)
	}
	return thread, nil
}

// budget is how much of a conversation may be sent, nil when nothing bounds it:
// what memorySettings.maxTokens leaves beside the answer.
func (in *inbound) budget(req *openai.Request, x *persist.Exchange) *memory.Budget {
	most := in.app.MemorySettings.MaxTokens
	if most <= 0 || in.thread == "" {
		return nil
	}
	answer := int(mostAsked(req, in.operation))
	if answer <= 0 {
		answer = most / 4
	}
	m := in.app.counts(req, x)
	return &memory.Budget{Prompt: most - answer, Request: m.Prompt(in.operation, req.Bytes()), Count: m.Message}
}

// sayThread names the conversation that an answer belongs to.
func sayThread(c *gin.Context, thread *memory.Thread) {
	if thread != nil {
		c.Writer.Header()["X-Thread-Id"] = []string{thread.ID()}
	}
}

// remember adds an answer to its conversation before the client can know that
// it is complete. A turn that has to wait for the store is said so where a
// header can still say it; it is not lost.
func (s *Server) remember(c *gin.Context, thread *memory.Thread, said json.RawMessage, x *persist.Exchange) {
	endpoint := ""
	if n := len(x.Attempts); n > 0 {
		endpoint = x.Attempts[n-1].ID
	}
	// The client's leaving does not undo an answer that has been given.
	err := thread.Append(context.WithoutCancel(c.Request.Context()), x.RequestID, x.User, endpoint, said)
	status := ""
	switch {
	case err == nil:
	case errors.Is(err, memory.ErrPending):
		status = "pending"
	case errors.Is(err, memory.ErrUnknown): // ended meanwhile by somebody who may
		status = "ended"
	default:
		status = "unsaved"
		s.log.Error("turn not saved", "request_id", x.RequestID, "app", x.App, "error", err)
	}
	if !c.Writer.Written() {
		sayThread(c, thread)
		if status != "" {
			c.Writer.Header()["X-Thread-Status"] = []string{status}
		}
	}
}

// rememberWhole is remember for an answer that is not streamed.
func (s *Server) rememberWhole(c *gin.Context, thread *memory.Thread, done *openai.Completion, a *answer, x *persist.Exchange) {
	if thread == nil {
		return
	}
	if done != nil && done.Whole {
		if said, ok := openai.MessageOf(a.body); ok {
			s.remember(c, thread, said, x)
			return
		}
	}
	s.unsaved(c, thread, x)
}

// unsaved says that an answer cannot be kept: it is too long, or has parts
// that no later request may hold.
func (s *Server) unsaved(c *gin.Context, thread *memory.Thread, x *persist.Exchange) {
	s.log.Error("turn not saved: the answer is too long, or has parts that cannot be kept", "request_id", x.RequestID, "app", x.App)
	if c.Writer.Written() {
		return
	}
	if thread.Started() {
		x.Thread = "" // there is none
	}
	c.Writer.Header()["X-Thread-Status"] = []string{"unsaved"}
}

// rememberStream is remember for an answer that came as a stream.
func (s *Server) rememberStream(c *gin.Context, thread *memory.Thread, done *openai.Completion, x *persist.Exchange) {
	said, ok := done.Message()
	if !ok {
		s.unsaved(c, thread, x)
		return
	}
	s.remember(c, thread, said, x)
}

// threadID is the conversation that a request names; empty when it begins one.
func threadID(h http.Header) (string, error) {
	named := h["X-Thread-Id"]
	if len(named) > 1 {
		return "", &refusal{http.StatusBadRequest, codeInvalidPayload, "The request names more than one thread in x-thread-id.", ""}
	}
	if len(named) == 0 {
		return "", nil
	}
	return named[0], nil
}

// noThread refuses a conversation where there can be none.
func (in *inbound) noThread() error {
	if in.thread == "" {
		return nil
	}
	return &refusal{
		http.StatusBadRequest, codeInvalidPayload,
		"Conversations are of chat completions with messages; send this request without x-thread-id.", "",
	}
}

// showThread answers with a conversation, to its owner and to the admin.
func (s *Server) showThread(c *gin.Context) error {
	return s.withThread(c, func(m *memory.Memory, id string, who memory.Owner, admin bool) error {
		record, err := m.Read(c.Request.Context(), id, who, admin)
		if err != nil {
			return err
		}
		c.JSON(http.StatusOK, threadPage(record))
		return nil
	})
}

// endThread deletes a conversation, for its owner and for the admin.
func (s *Server) endThread(c *gin.Context) error {
	return s.withThread(c, func(m *memory.Memory, id string, who memory.Owner, admin bool) error {
		if err := m.Delete(c.Request.Context(), id, who, admin); err != nil {
			return err
		}
		c.Status(http.StatusNoContent)
		return nil
	})
}

func (s *Server) withThread(c *gin.Context, do func(m *memory.Memory, id string, who memory.Owner, admin bool) error) error {
	who, err := s.visitor(c)
	if err != nil {
		return err
	}
	if who.app.Memory == nil {
		return &refusal{http.StatusNotFound, codeNotFound, "Conversation memory is off for AI application " + who.app.AppID + ".", ""}
	}
	err = do(who.app.Memory, c.Param("id"), memory.Owner{Caller: who.caller, Tenant: who.tenant}, who.admin)
	var invalid *memory.InvalidThread
	if errors.As(err, &invalid) || errors.Is(err, memory.ErrUnknown) {
		return &refusal{http.StatusNotFound, codeNotFound, "There is no such thread: it was never started, has expired or ended, or is somebody else's.", ""}
	}
	if err != nil {
		return &storeError{err}
	}
	return nil
}

// listThreads answers the admin with the conversations of an application, or
// of one user.
func (s *Server) listThreads(c *gin.Context) error {
	app, err := s.threadsFor(c)
	if err != nil {
		return err
	}
	limit, err := queryInt(c, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	records, err := s.threads.List(c.Request.Context(), app, c.Query("user"), limit)
	if err != nil {
		return &storeError{err}
	}
	pages := make([]shownThread, len(records))
	for i, r := range records {
		pages[i] = threadPage(r)
	}
	c.JSON(http.StatusOK, gin.H{"sessions": pages})
	return nil
}

// eraseThreads deletes all conversations of a user.
func (s *Server) eraseThreads(c *gin.Context) error {
	app, err := s.threadsFor(c)
	if err != nil {
		return err
	}
	user := c.Query("user")
	if user == "" {
		return &refusal{http.StatusBadRequest, codeInvalidPayload, "Name the user whose conversations are to be erased: ?user=…", "user"}
	}
	n, err := s.threads.Erase(c.Request.Context(), app, user)
	if err != nil {
		return &storeError{err}
	}
	c.JSON(http.StatusOK, gin.H{"deleted": n})
	return nil
}

// threadsFor returns the id of the application that an admin asks about; empty
// when it is all of them.
func (s *Server) threadsFor(c *gin.Context) (string, error) {
	if err := s.adminOnly(c); err != nil {
		return "", err
	}
	if s.threads == nil {
		return "", &refusal{http.StatusNotFound, codeNotFound, "Conversation memory is off (API_GATEWAY_STATE_MGMT).", ""}
	}
	id := c.Param("app")
	if app := s.live.Load().App(id); app != nil {
		id = app.AppID
	}
	return id, nil // what is not configured any more may still have rows
}
