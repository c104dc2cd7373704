package gateway

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"

	"aigateway/openai"
	"aigateway/persist"
)

// telling are the members of a request's body that telemetry tells: those for
// which the GenAI conventions have a name.
var telling = [...]string{
	"temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "frequency_penalty", "presence_penalty",
	"seed", "n", "stop", "dimensions", "encoding_format", "service_tier",
}

// mostTold is the longest value of a member that telemetry tells, in bytes.
const mostTold = 256

// describeAsked notes what a request asks for beside its messages.
func describeAsked(t *persist.Trace, req *openai.Request, content bool) {
	if t == nil {
		return
	}
	for _, path := range [...]string{"response_format.type", "text.format.type"} {
		if name, _, _ := strings.Cut(path, "."); req.Raw(name) == nil {
			continue
		}
		if kind := req.Get(path); kind.Type == gjson.String && len(kind.Raw) <= mostTold {
			t.Asked = append(t.Asked, [2]string{"response_format", kind.Raw})
		}
	}
	for _, name := range telling {
		if name == "stop" && !content {
			continue // is text of the client's
		}
		if raw := req.Raw(name); raw != nil && len(raw) <= mostTold {
			t.Asked = append(t.Asked, [2]string{name, string(raw)})
		}
	}
}

// describeAnswer notes what an answer says of itself.
func describeAnswer(t *persist.Trace, done *openai.Completion) {
	if t != nil && done != nil {
		t.ResponseID, t.Fingerprint = done.ID, done.SystemFingerprint
	}
}

// trace hands the exchange over to telemetry.
func (s *Server) trace(in *inbound, x *persist.Exchange) {
	if x.Trace == nil {
		return
	}
	if s.telemetry.Content() && in.kept != nil {
		x.Trace.Prompt, x.Trace.Completion = in.tellable(in.kept.prompt), in.tellable(in.kept.completion)
	}
	s.telemetry.End(x)
}

// tellable is what may be told of a text: without secrets, and without what the
// operator hides.
func (in *inbound) tellable(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	return bytes.Clone(in.app.redactor.Apply(persist.Secretless(text)))
}
