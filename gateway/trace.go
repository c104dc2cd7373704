package gateway

import (
	"bytes"

	"aigateway/openai"
	"aigateway/persist"
)

// telling are the members of a request's body that telemetry tells: those for
// which the GenAI conventions have a name.
var telling = [...]string{
	"temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "frequency_penalty", "presence_penalty",
	"seed", "n", "stop", "dimensions", "encoding_format", "service_tier",
}

// describeAsked notes what a request asks for beside its messages.
func describeAsked(t *persist.Trace, req *openai.Request) {
	if t == nil {
		return
	}
	const most = 256 // bytes of one value
	for _, name := range telling {
		if raw := req.Raw(name); raw != nil && len(raw) <= most {
			t.Asked = append(t.Asked, [2]string{name, string(raw)})
		}
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
