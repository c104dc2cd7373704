package tokens

import "strings"

// Model is how a model counts. It is safe for concurrent use.
type Model struct {
	name       string
	unknown    bool
	vocabulary func() *vocabulary
	context    int
	maxOutput  int
	image      imageRule

	// Of a chat request, by the cookbook (see Prompt).
	message  int // for each message, beside its texts
	named    int // for a message's name, beside its text
	function int // for each function
}

// longestName is the longest model name that is looked at: deployments have at
// most 64 characters, names of fine-tuned models some more.
const longestName = 128

// For returns the model of a name: that of a model such as
// gpt-4o-mini-2024-07-18 or ft:gpt-4o:org::id, or that of a deployment which
// has a model's name in it, such as my-gpt-4o or eu_gpt4o_prod; the longest
// that fits counts. Upper and lower case are the same, as are gpt-35 and
// gpt-3.5. For any other name it returns a model that is not Known. It never
// returns nil.
func For(model string) *Model {
	if len(model) > longestName {
		return &unknown
	}
	name := strings.ToLower(model)
	if i := strings.LastIndexByte(name, '/'); i >= 0 { // openai/gpt-4o
		name = name[i+1:]
	}
	name = strings.TrimPrefix(name, "ft:")
	if m := begins(name); m != nil {
		return m
	}
	name = spelling.Replace(name)
	if m := begins(name); m != nil {
		return m
	}
	var best *Model
	at := 0 // the longest name wins, then the first
	for i := 1; i < len(name); i++ {
		if !partOfName(name[i]) || partOfName(name[i-1]) {
			continue
		}
		if m := begins(name[i:]); m != nil && (best == nil || len(m.name) > at) {
			best, at = m, len(m.name)
		}
	}
	if best != nil {
		return best
	}
	return &unknown
}

// spelling is what names of deployments do to names of models: they may have
// no dots in some places, and underlines or nothing for a hyphen.
var spelling = strings.NewReplacer(
	"_", "-", " ", "-",
	"gpt-35", "gpt-3.5", "gpt35", "gpt-3.5", "gpt3.5", "gpt-3.5",
	"gpt-41", "gpt-4.1", "gpt41", "gpt-4.1", "gpt4", "gpt-4",
	"gpt-51", "gpt-5.1", "gpt-52", "gpt-5.2", "gpt5", "gpt-5",
)

// begins returns the model with the longest name that name begins with.
func begins(name string) *Model {
	for i := range models {
		p := models[i].prefix
		if strings.HasPrefix(name, p) && (len(name) == len(p) || !partOfName(name[len(p)])) {
			return &models[i].Model
		}
	}
	return nil
}

// partOfName reports whether c, before or behind a model's name, makes it
// another name: gpt-4 is neither in gpt-4o nor in gpt-4.5.
func partOfName(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.'
}

// Name is the model's name without date and size of context, such as
// gpt-4o-mini; for a model that is not Known it is unknown. There are few.
func (m *Model) Name() string { return m.name }

// Known reports whether the name given to For has the name of a model whose
// vocabulary is published. Otherwise counts are those of o200k_base, the
// latest vocabulary, and estimates.
func (m *Model) Known() bool { return !m.unknown }

// MaxOutput is the most tokens that an answer can have, reasoning included,
// where it is published, else 0.
func (m *Model) MaxOutput() int { return m.maxOutput }

// Context is how many tokens a prompt and its answer can have together, where
// it is published, else 0. A deployment may have less: those of gpt-4.1 do.
func (m *Model) Context() int { return m.context }

// Warm loads the model's vocabulary, once per process, which takes about 0.1 s.
// Whoever counts first would wait for it.
func (m *Model) Warm() { m.vocabulary() }

// Count returns how many tokens text is. What looks like a special token is
// text; a byte that is not UTF-8 counts as U+FFFD.
func (m *Model) Count(text string) int { return m.vocabulary().count(text) }

// CountBytes is Count. It neither copies nor keeps text.
func (m *Model) CountBytes(text []byte) int { return m.vocabulary().count(view(text)) }
