package gateway

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"aigateway/config"
	"aigateway/limit"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/tokens"
)

// usualAnswer is the tokens reserved for an answer, before an application's
// own answers tell and when the request does not bound it.
const usualAnswer = 500

// averages are the usual lengths of answers, by application; they outlive
// configurations.
type averages struct{ byApp sync.Map } // appId → *average

// average is a moving average of tokens, as the bits of a float64.
type average struct{ bits atomic.Uint64 }

// of returns an application's average.
func (all *averages) of(app string) *average {
	if a, ok := all.byApp.Load(app); ok {
		return a.(*average)
	}
	fresh := &average{}
	fresh.bits.Store(math.Float64bits(usualAnswer))
	a, _ := all.byApp.LoadOrStore(app, fresh)
	return a.(*average)
}

// note takes the latest answer for a twentieth. Two at once may count as one.
func (a *average) note(n int64) {
	const part = 1.0 / 20
	old := math.Float64frombits(a.bits.Load())
	a.bits.Store(math.Float64bits(old + part*(float64(n)-old)))
}

func (a *average) tokens() int64 { return int64(math.Ceil(math.Float64frombits(a.bits.Load()))) }

// reserve is what a request may come to use, in tokens. Guessed: the request
// does not say how long its answer may be.
type reserve struct {
	prompt, completion int64
	guessed            bool
}

func (r reserve) usage() openai.Usage {
	return openai.Usage{Estimated: true, PromptTokens: r.prompt, CompletionTokens: r.completion, TotalTokens: r.prompt + r.completion}
}

// ask asks limits for the reserve, at a price, which may be nil.
func (r reserve) ask(to *limit.Ask, p *config.Price) {
	u := r.usage()
	to.Tokens, to.Cost = u.TotalTokens, cost(p, &u)
	if r.guessed {
		to.GuessedTokens, to.GuessedCost = r.completion, to.Cost-cost(p, &openai.Usage{PromptTokens: r.prompt})
	}
}

// counts returns how the model of a request counts: as its answer named it,
// else as the configuration and the body do.
func (app *App) counts(req *openai.Request, x *persist.Exchange) *tokens.Model {
	if x.Answered != "" {
		if m := tokens.For(x.Answered); m.Known() {
			return m
		}
	}
	if app.model != nil {
		return app.model
	}
	return tokens.For(req.Model)
}

// reserve returns what is to be reserved for a request: its prompt, and the
// longest answers that it asks for, else some of the usual length.
func (app *App) reserve(in *inbound, req *openai.Request, x *persist.Exchange) reserve {
	m := app.counts(req, x)
	r := reserve{prompt: int64(m.Prompt(in.operation, req.Bytes()))}
	if in.operation == opEmbeddings {
		return r
	}
	answer := mostAsked(req, in.operation)
	if answer <= 0 {
		answer, r.guessed = app.usual.tokens(), true
	}
	if most := int64(m.MaxOutput()); most > 0 && m.Known() {
		answer = min(answer, most)
	}
	r.completion = min(min(answer, mostTokens)*answers(req, in.operation), mostTokens)
	return r
}

// mostTokens bounds one reservation: a thousand times what any model writes.
const mostTokens = 100_000_000

// mostAsked is the longest answer that a request asks for, in tokens, 0 when it
// does not say: by the members that its operation has, of which the greatest
// counts, for nobody knows which an endpoint goes by.
func mostAsked(req *openai.Request, operation string) int64 {
	switch operation {
	case opChat:
		return max(asked(req, "max_completion_tokens"), asked(req, "max_tokens"))
	case opResponses:
		return asked(req, "max_output_tokens")
	}
	return asked(req, "max_tokens")
}

// answers is how many answers a request asks for.
func answers(req *openai.Request, operation string) int64 {
	const most = 128 // of n, as the API documents
	n := min(max(asked(req, "n"), 1), most)
	switch operation {
	case opResponses:
		return 1 // has no n
	case opCompletions:
	default:
		return n
	}
	n = max(n, min(asked(req, "best_of"), most))
	if first := req.Get("prompt.0"); first.Type == gjson.String || first.IsArray() {
		n *= max(req.Get("prompt.#").Int(), 1)
	}
	return n
}

// asked is a member of the body as a number, 0 when it is none; numbers out of
// all proportion are cut.
func asked(req *openai.Request, member string) int64 {
	n, err := strconv.ParseFloat(string(req.Raw(member)), 64)
	if err != nil {
		return 0
	}
	return int64(min(max(n, -1), math.MaxInt32))
}

// estimate counts what an endpoint must have counted and did not say: the
// prompt, and what came of the answer. It takes what was kept of that.
func (s *Server) estimate(in *inbound, req *openai.Request, said *openai.Completion, x *persist.Exchange) {
	if x.Usage.Reported || req == nil || !counted(in.operation) {
		return
	}
	if n := len(x.Attempts); n == 0 || x.Attempts[n-1].Status != http.StatusOK {
		return // it refused, or did not begin to answer
	}
	if in.operation != opEmbeddings && (said == nil || len(said.Choices) == 0) {
		return // what came was no model's answer
	}
	m := in.app.counts(req, x)
	r := reserve{prompt: int64(m.Prompt(in.operation, req.Bytes()))}
	if in.operation != opEmbeddings {
		for i := range said.Choices {
			r.completion += spoken(m, &said.Choices[i])
		}
		if in.operation != opResponses { // whose events repeat the whole answer
			r.completion += said.Unread / bytesPerToken
		}
	}
	x.Usage = r.usage()
}

// bytesPerToken is what a token of events that were too long to be read comes
// to: English is at four letters.
const bytesPerToken = 4

// counted tells the operations whose tokens the gateway can count.
func counted(operation string) bool {
	return operation == opChat || operation == opCompletions || operation == opEmbeddings || operation == opResponses
}

// spoken counts the tokens of one choice.
func spoken(m *tokens.Model, ch *openai.Choice) int64 {
	n := m.Count(ch.Text) + m.Count(ch.Refusal)
	for i := range ch.ToolCalls {
		n += m.Count(ch.ToolCalls[i].Name) + m.Count(ch.ToolCalls[i].Arguments)
	}
	return int64(n)
}

// noteSaved notes what an answer from the cache would have used again.
func (s *Server) noteSaved(in *inbound, req *openai.Request, answer []byte, x *persist.Exchange) {
	done, err := openai.ParseCompletion(answer, keepAnswer)
	if err != nil {
		return
	}
	x.Answered = done.Model
	if x.Saved = done.Usage; x.Saved.Reported {
		return
	}
	m := in.app.counts(req, x)
	r := reserve{prompt: int64(m.Prompt(in.operation, req.Bytes()))}
	for i := range done.Choices {
		r.completion += spoken(m, &done.Choices[i])
	}
	x.Saved = r.usage()
}

// account prices the exchange, settles its reservations and learns how long
// answers are.
func (s *Server) account(in *inbound, x *persist.Exchange) {
	if in.app == nil || in.accounted {
		return
	}
	in.accounted = true
	if in.lost > 0 {
		u := &x.Usage
		u.Reported, u.Estimated = false, true
		u.TotalTokens = used(u) + in.lost
		u.PromptTokens += in.lost
	}
	if x.Usage != (openai.Usage{}) || x.Saved != (openai.Usage{}) {
		if p := in.app.price(x); p != nil {
			x.Priced, x.Cost, x.SavedCost = label(p), cost(p, &x.Usage), cost(p, &x.Saved)
		}
	}
	if n := x.Usage.CompletionTokens; n > 0 && counted(in.operation) && !x.Aborted && !x.Cut {
		in.app.usual.note(n / max(in.answers, 1))
	}
	in.grant.Settle(in.charged(x))
}

// charged is what limits are told that the exchange used, in tokens and money.
// Who leaves before the answer has begun is charged the prompt, though nothing
// is booked: prompts would else be free to who always leaves.
func (in *inbound) charged(x *persist.Exchange) (tokens, price int64) {
	if n := len(x.Attempts); x.Aborted && x.Usage == (openai.Usage{}) && n > 0 && (x.Attempts[n-1].Status == 0 || x.Attempts[n-1].Status == http.StatusOK) {
		u := openai.Usage{PromptTokens: in.reserved.prompt}
		return u.PromptTokens, cost(in.app.price(x), &u)
	}
	return used(&x.Usage), x.Cost
}

// used are all tokens of a usage.
func used(u *openai.Usage) int64 {
	return max(cmp.Or(u.TotalTokens, u.PromptTokens+u.CompletionTokens), 0)
}

// sayConsumed tells in the header what the request used, where it is known
// before the answer's header is sent.
func (in *inbound) sayConsumed(c *gin.Context, x *persist.Exchange) {
	name := in.app.limitHeaders.ConsumedTokens
	if in.grant == nil || name == "" || c.Writer.Written() {
		return
	}
	n := used(&x.Usage)
	if x.Usage == (openai.Usage{}) && !x.Cached {
		n = in.reserved.prompt + in.reserved.completion
	}
	c.Writer.Header()[name] = []string{strconv.FormatInt(n, 10)}
}
