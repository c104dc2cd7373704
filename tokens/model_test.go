package tokens

import (
	"strings"
	"testing"
)

func TestModelsAreFoundByName(t *testing.T) {
	for _, c := range []struct {
		name, want         string
		context, maxOutput int
	}{
		{"gpt-4o-mini-2024-07-18", "gpt-4o-mini", 128_000, 16_384},
		{"gpt-4o", "gpt-4o", 128_000, 16_384},
		{"gpt-4o-2024-05-13", "gpt-4o", 128_000, 4_096},
		{"chatgpt-4o-latest", "gpt-4o", 128_000, 16_384},
		{"gpt-35-turbo-16k", "gpt-3.5-turbo", 16_385, 4_096},
		{"gpt-3.5-turbo-0125", "gpt-3.5-turbo", 16_385, 4_096},
		{"gpt-35-turbo-0301", "gpt-3.5-turbo", 4_096, 4_096},
		{"gpt-35-turbo-instruct", "gpt-3.5-turbo-instruct", 4_096, 4_096},
		{"gpt-4", "gpt-4", 8_192, 8_192},
		{"gpt-4-0613", "gpt-4", 8_192, 8_192},
		{"gpt-4-32k-0613", "gpt-4-32k", 32_768, 32_768},
		{"gpt-4-1106-preview", "gpt-4-turbo", 128_000, 4_096},
		{"gpt-4-turbo-2024-04-09", "gpt-4-turbo", 128_000, 4_096},
		{"gpt-4.1-nano-2025-04-14", "gpt-4.1-nano", 1_047_576, 32_768},
		{"gpt-4.5-preview", "gpt-4.5", 128_000, 16_384},
		{"gpt-5", "gpt-5", 400_000, 128_000},
		{"gpt-5-chat-latest", "gpt-5-chat", 128_000, 16_384},
		{"gpt-5.1-2025-11-13", "gpt-5.1", 400_000, 128_000},
		{"gpt-5.4-mini", "gpt-5.4-mini", 400_000, 128_000},
		{"o1", "o1", 200_000, 100_000},
		{"o1-preview", "o1-preview", 128_000, 32_768},
		{"o3-mini-2025-01-31", "o3-mini", 200_000, 100_000},
		{"o4-mini", "o4-mini", 200_000, 100_000},
		{"gpt-oss-20b", "gpt-oss", 131_072, 131_072},
		{"text-embedding-3-small", "text-embedding-3-small", 8_192, 0},
		{"text-embedding-ada-002", "text-embedding-ada-002", 8_192, 0},

		// Names of deployments and other spellings.
		{"GPT-4o", "gpt-4o", 128_000, 16_384},
		{"openai/gpt-4.1", "gpt-4.1", 1_047_576, 32_768},
		{"ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o-mini", 128_000, 16_384},
		{"my-gpt-4o", "gpt-4o", 128_000, 16_384},
		{"eu_gpt4o_mini_prod", "gpt-4o-mini", 128_000, 16_384},
		{"gpt35", "gpt-3.5-turbo", 16_385, 4_096},
		{"chat-gpt-35-turbo", "gpt-3.5-turbo", 16_385, 4_096},
		{"gpt41-mini", "gpt-4.1-mini", 1_047_576, 32_768},
		{"team o3 mini", "o3-mini", 200_000, 100_000},
		{"o1-to-gpt-4o", "o1", 200_000, 100_000},
		{"from-o1-to-gpt-4o", "gpt-4o", 128_000, 16_384},

		// Names that say nothing.
		{"", "unknown", 0, 0},
		{"chat", "unknown", 0, 0},
		{"gpt", "unknown", 0, 0},
		{"gpt-4.7", "unknown", 0, 0},
		{"gpt-6", "unknown", 0, 0},
		{"foo1", "unknown", 0, 0},
		{"video3-large", "unknown", 0, 0},
		{"llama-3-70b", "unknown", 0, 0},
		{"gpt-4o" + strings.Repeat("x", 200), "unknown", 0, 0},
		{strings.Repeat("-gpt-4o", 5000), "unknown", 0, 0},
	} {
		m := For(c.name)
		if m.Name() != c.want || m.Context() != c.context || m.MaxOutput() != c.maxOutput || m.Known() != (c.want != "unknown") {
			t.Errorf("%.50q is %s with %d and %d tokens, known %v", c.name, m.Name(), m.Context(), m.MaxOutput(), m.Known())
		}
	}
}

func TestALongerNameComesFirst(t *testing.T) {
	for i, m := range models {
		if begins(m.prefix) != &models[i].Model {
			t.Errorf("%s is never found", m.prefix)
		}
		if m.context == 0 || m.maxOutput > m.context || m.vocabulary == nil || m.name == "" {
			t.Errorf("%s: %+v", m.prefix, m.Model)
		}
	}
}

// The same text in both vocabularies; the counts are tiktoken's.
func TestModelsCountWithTheirVocabulary(t *testing.T) {
	const text = "お誕生日おめでとう"
	for name, want := range map[string]int{
		"gpt-4": 9, "gpt-35-turbo": 9, "text-embedding-3-large": 9, "davinci-002": 9,
		"gpt-4o": 8, "gpt-4.1": 8, "gpt-5": 8, "o1": 8, "o3-mini": 8, "gpt-oss-120b": 8, "llama": 8,
	} {
		m := For(name)
		m.Warm()
		if got := m.Count(text); got != want {
			t.Errorf("%s counts %d, want %d", name, got, want)
		}
	}
}

func TestFindingAModelNeedsNoMemory(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { For("gpt-4o-mini-2024-07-18") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
