package gateway

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"

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

// reserve is what a request may come to use, in tokens.
type reserve struct{ prompt, completion int64 }

func (r reserve) usage() openai.Usage {
	return openai.Usage{Estimated: true, PromptTokens: r.prompt, CompletionTokens: r.completion, TotalTokens: r.prompt + r.completion}
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
// longest answer that it asks for, else one of the usual length.
func (app *App) reserve(in *inbound, req *openai.Request, x *persist.Exchange) reserve {
	m := app.counts(req, x)
	r := reserve{prompt: int64(m.Prompt(in.operation, req.Bytes()))}
	if in.operation == opEmbeddings {
		return r
	}
	answer := asked(req, "max_completion_tokens", "max_tokens", "max_output_tokens")
	if answer <= 0 {
		answer = app.usual.tokens()
	}
	if most := int64(m.MaxOutput()); most > 0 && m.Known() {
		answer = min(answer, most)
	}
	r.completion = min(answer, mostTokens) * max(1, min(asked(req, "n"), 128))
	return r
}

// mostTokens bounds one reservation: a thousand times what any model writes.
const mostTokens = 100_000_000

// asked is the first of some members of the body that is a number, 0 when none
// is; numbers out of all proportion are cut.
func asked(req *openai.Request, members ...string) int64 {
	for _, name := range members {
		if n, err := strconv.ParseFloat(string(req.Raw(name)), 64); err == nil {
			return int64(min(max(n, -1), math.MaxInt32))
		}
	}
	return 0
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
	m := in.app.counts(req, x)
	r := reserve{prompt: int64(m.Prompt(in.operation, req.Bytes()))}
	if said != nil && in.operation != opEmbeddings {
		for i := range said.Choices {
			r.completion += spoken(m, &said.Choices[i])
		}
	}
	x.Usage = r.usage()
}

// counted tells the operations whose tokens the gateway can count.
func counted(operation string) bool {
	return operation == opChat || operation == opCompletions || operation == opEmbeddings
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
	if in.app == nil {
		return
	}
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
		in.app.usual.note(n)
	}
	in.grant.Settle(used(&x.Usage), x.Cost)
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
