package otlp

import (
	"strings"

	"aigateway/persist"
	"aigateway/telemetry"
)

// namesMost bounds the models that are known by having answered.
const namesMost = 100

// names are the models that clients asked for and that answered: all others
// are theirs to invent, and no label.
type names map[string]struct{}

// asked is gen_ai.request.model of metrics: the model that is asked for, when
// the configuration names it or it has answered, by its name or as one of its
// versions (gpt-4o as gpt-4o-2024-08-06); else empty.
func (n names) asked(x *persist.Exchange) string {
	model := x.Model
	if model == "" || len(model) > longest {
		return ""
	}
	if _, known := n[model]; !known && model != telemetry.Configured(x) {
		if len(n) == namesMost || !isVersion(x.Answered, model) {
			return ""
		}
		n[model] = struct{}{}
	}
	return clean(model)
}

// isVersion reports whether the model that answered is the one asked for, or a
// version of it.
func isVersion(answered, asked string) bool {
	rest, ok := strings.CutPrefix(answered, asked)
	return ok && (rest == "" || rest[0] == '-')
}
