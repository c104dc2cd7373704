package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"aigateway/openai"
	"aigateway/persist"
)

// kept is what of an exchange is stored beside its facts.
type kept struct {
	prompt, completion []byte
}

// keepPrompt copies the body as the client sent it, where prompts are stored.
func (in *inbound) keepPrompt(s *Server) {
	if s.history == nil || s.prompts == nil {
		return
	}
	in.kept = &kept{}
	if in.app.Persist.Content {
		in.kept.prompt = bytes.Clone(in.body)
	}
}

// keepsAnswer reports whether the answer's text is wanted for more than the
// client: to be stored.
func (in *inbound) keepsAnswer() bool { return in.kept != nil && in.app.Persist.Content }

// keepAnswer notes what was answered; body is not changed any more.
func (in *inbound) keepAnswer(body []byte) {
	if in.keepsAnswer() && in.operation != opEmbeddings { // vectors are no text
		in.kept.completion = body
	}
}

// keepCompletion notes what was answered as a stream.
func (in *inbound) keepCompletion(done *openai.Completion) {
	if in.keepsAnswer() && done != nil && len(done.Choices) > 0 && in.operation != opResponses { // whose form it is not
		in.kept.completion = done.JSON(in.operation)
	}
}

// persist hands a finished exchange to the writer, when it is one that is
// kept: answered, refused by the backend, or broken off. What the gateway
// itself refused or could not answer is not: contract section 10.
func (s *Server) persist(in *inbound, x *persist.Exchange) {
	begun := x.FirstByte > 0 || x.Cached
	refused := x.Status >= 400 && x.Code == "" && len(x.Attempts) > 0 // the backend's own body was sent
	history := in.kept != nil && (begun || refused)
	booked := s.ledger != nil && (len(x.Attempts) > 0 || x.Cached)
	if s.prompts == nil || !history && !booked {
		return
	}
	id, err := uuid.NewV7()
	if err != nil {
		s.log.Error("request not stored", "request_id", x.RequestID, "error", err)
		return
	}
	r := &persist.Record{
		ID: id.String(), Exchange: *x, Ledger: booked, NoHistory: !history,
		Redactor: in.app.redactor, // the writer applies it, and hides secrets
	}
	if history {
		r.Prompt, r.Completion = in.kept.prompt, in.kept.completion
	}
	s.prompts.Write(r)
}

// showRequest answers with the stored row of a request, to the caller that
// made it and to the admin.
func (s *Server) showRequest(c *gin.Context) error {
	record, err := s.record(c)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, requestPage(record))
	return nil
}

// vote keeps a caller's opinion of an answer: one a caller, the last.
func (s *Server) vote(c *gin.Context) error {
	up := strings.EqualFold(c.Param("vote"), "up")
	if !up && !strings.EqualFold(c.Param("vote"), "down") {
		return &refusal{http.StatusBadRequest, codeInvalidPayload, "A vote is up or down: PUT /requests/{appId}/{requestId}/up", ""}
	}
	v, err := s.historian(c)
	if err != nil {
		return err
	}
	if err := s.history.Vote(c.Request.Context(), persist.Vote{Ref: requestOf(v, c), Up: up, At: s.now()}); err != nil {
		return historyFault(err)
	}
	c.Status(http.StatusNoContent)
	return nil
}

// historian is a visitor of the history.
func (s *Server) historian(c *gin.Context) (*visitor, error) {
	v, err := s.visitor(c)
	if err != nil {
		return nil, err
	}
	if s.history == nil {
		return nil, &refusal{http.StatusNotFound, codeNotFound, "Requests are not stored (API_GATEWAY_PERSIST_PROMPTS).", ""}
	}
	return v, nil
}

// requestOf is the request that the path names, as far as it is the visitor's.
func requestOf(v *visitor, c *gin.Context) persist.Ref {
	return persist.Ref{App: v.app.AppID, RequestID: c.Param("request"), Caller: v.caller, Tenant: v.tenant, Any: v.admin}
}

// record returns the stored row that the path names, if the visitor may see
// it. To others it is as if there was none.
func (s *Server) record(c *gin.Context) (*persist.Record, error) {
	v, err := s.historian(c)
	if err != nil {
		return nil, err
	}
	if v.anonymous && !v.admin {
		// Request ids are the clients' to choose, and so to guess.
		return nil, &refusal{
			http.StatusUnauthorized, codeUnauthorized,
			"Where no callers are configured, stored requests are for the admin: send the gateway's key as Authorization: Bearer.", "",
		}
	}
	record, err := s.history.Record(c.Request.Context(), requestOf(v, c))
	if err != nil {
		return nil, historyFault(err)
	}
	return record, nil
}

func historyFault(err error) error {
	if errors.Is(err, persist.ErrNotFound) {
		return &refusal{
			http.StatusNotFound, codeNotFound,
			"There is no stored request with this id of yours; rows are stored within a second of the answer.", "",
		}
	}
	return &storeError{err}
}

// shownRequest is a stored request as its page shows it.
type shownRequest struct {
	RequestID    string          `json:"requestId"`
	App          string          `json:"applicationId"`
	Caller       string          `json:"caller,omitempty"`
	Tenant       string          `json:"tenant,omitempty"`
	User         string          `json:"user,omitempty"`
	Thread       string          `json:"threadId,omitempty"`
	Operation    string          `json:"operation"`
	Model        string          `json:"model,omitempty"`
	Stream       bool            `json:"stream"`
	Status       int             `json:"status"`
	Code         string          `json:"code,omitempty"`
	Cached       bool            `json:"cached"`
	Cache        string          `json:"cache,omitempty"`
	CacheWhy     string          `json:"cacheWhy,omitempty"`
	CacheScore   float64         `json:"cacheScore,omitempty"`
	Cut          bool            `json:"cut,omitempty"`
	Aborted      bool            `json:"aborted,omitempty"`
	FinishReason string          `json:"finishReason,omitempty"`
	Start        time.Time       `json:"start"`
	FirstByteMs  float64         `json:"firstByteMs"`
	DurationMs   float64         `json:"durationMs"`
	Attempts     []shownAttempt  `json:"attempts"`
	Usage        *shownUsage     `json:"usage,omitempty"`
	Up           int             `json:"votesUp"`
	Down         int             `json:"votesDown"`
	Prompt       json.RawMessage `json:"prompt"`
	Completion   json.RawMessage `json:"completion"`
}

type shownAttempt struct {
	Endpoint   string  `json:"endpoint"`
	Status     int     `json:"status,omitempty"`
	Fault      string  `json:"fault,omitempty"`
	DurationMs float64 `json:"durationMs"`
}

type shownUsage struct {
	Prompt     int64 `json:"promptTokens"`
	Completion int64 `json:"completionTokens"`
	Total      int64 `json:"totalTokens"`
	Cached     int64 `json:"cachedTokens,omitempty"`
	Reasoning  int64 `json:"reasoningTokens,omitempty"`
}

func requestPage(r *persist.Record) shownRequest {
	page := shownRequest{
		RequestID: r.RequestID, App: r.App, Caller: r.Caller, Tenant: r.Tenant, User: r.User, Thread: r.Thread,
		Operation: r.Operation, Model: r.Model, Stream: r.Stream, Status: r.Status, Code: r.Code,
		Cached: r.Cached, Cache: r.Cache, CacheWhy: r.CacheWhy, CacheScore: r.CacheScore, Cut: r.Cut, Aborted: r.Aborted, FinishReason: r.FinishReason,
		Start: r.Start.UTC(), FirstByteMs: millis(r.FirstByte), DurationMs: millis(r.Duration),
		Attempts: []shownAttempt{}, Up: r.Up, Down: r.Down, Prompt: r.Prompt, Completion: r.Completion,
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		page.Attempts = append(page.Attempts, shownAttempt{a.ID, a.Status, a.Fault, millis(a.Duration)})
	}
	if u := r.Usage; u.Reported {
		page.Usage = &shownUsage{u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens}
	}
	return page
}
