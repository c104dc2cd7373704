package otlp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aigateway/persist"
)

func TestOperationsHaveTheConventionsNames(t *testing.T) {
	for _, c := range []struct {
		operation, call, model string
		name                   string
		attribute              any
	}{
		{"chat", "", "gpt-4o", "chat gpt-4o", "chat"},
		{"responses", "", "gpt-5", "chat gpt-5", "chat"},
		{"completions", "", "davinci", "text_completion davinci", "text_completion"},
		{"embeddings", "", "ada", "embeddings ada", "embeddings"},
		{"images/generations", "", "", "images/generations", "images/generations"},
		{"my/key", "", "gpt-4o", "other gpt-4o", "other"},
		{"other", "translateApiCalls", "", "call translateApiCalls", nil},
	} {
		x := failedOver()
		x.Operation, x.Call, x.Model = c.operation, c.call, c.model
		span := exported(t, Options{}, x)[2]
		if got := pairs(span.Attributes)["gen_ai.operation.name"]; span.Name != c.name || got != c.attribute {
			t.Errorf("%s: got %q, operation %v", c.operation, span.Name, got)
		}
	}
}

func TestWhatIsAskedIsOfTheAttributesType(t *testing.T) {
	x := failedOver()
	x.Trace.Asked = [][2]string{
		{"temperature", `"hot"`},
		{"top_p", "0.5"},
		{"top_k", "40"},
		{"max_tokens", "-3"},
		{"max_completion_tokens", "40"},
		{"max_output_tokens", "50"},
		{"seed", "1e3"},
		{"n", "1"},
		{"stop", `"END"`},
		{"frequency_penalty", "null"},
		{"presence_penalty", "-1"},
		{"service_tier", `"flex"`},
		{"dimensions", "256"},
		{"encoding_format", `"base64"`},
		{"mystery", "1"},
	}
	got := pairs(exported(t, Options{Content: true}, x)[2].Attributes)
	for k, want := range map[string]any{
		"gen_ai.request.temperature": nil, "gen_ai.request.top_p": 0.5, "gen_ai.request.top_k": 40.0, "gen_ai.request.max_tokens": int64(40), "gen_ai.request.seed": nil,
		"gen_ai.request.choice.count": nil, "gen_ai.request.frequency_penalty": nil, "gen_ai.request.presence_penalty": -1.0,
		"openai.request.service_tier": "flex", "gen_ai.embeddings.dimension.count": int64(256),
	} {
		if got[k] != want {
			t.Errorf("%s: got %v, want %v", k, got[k], want)
		}
	}
	if diff := cmp.Diff([]any{"END"}, got["gen_ai.request.stop_sequences"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"base64"}, got["gen_ai.request.encoding_formats"]); diff != "" {
		t.Error(diff)
	}
}

func TestLimitOfTokensIsOneOfThree(t *testing.T) {
	for _, name := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
		x := failedOver()
		x.Trace.Asked = [][2]string{{name, "64"}}
		if got := pairs(exported(t, Options{}, x)[2].Attributes)["gen_ai.request.max_tokens"]; got != int64(64) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestNoTextOfClientsIsExportedWithoutContent(t *testing.T) {
	x := failedOver()
	x.User, x.Operation = "sesame", "sesame/of/mine"
	x.Trace.Method = "SESAME"
	x.Trace.Prompt, x.Trace.Completion = []byte(`{"messages":[{"role":"user","content":"sesame"}]}`), []byte(`{"choices":[{"message":{"content":"sesame"}}]}`)
	x.Trace.Asked = nil
	for _, name := range []string{
		"temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "frequency_penalty", "presence_penalty",
		"seed", "n", "stop", "dimensions", "encoding_format", "service_tier", "response_format", "user", "mystery",
	} {
		for _, value := range []string{`"sesame"`, `["sesame"]`, `{"sesame":"sesame"}`} {
			x.Trace.Asked = append(x.Trace.Asked, [2]string{name, value})
		}
	}
	to := collecting(t)
	s := open(t, Options{})
	s.Send(t.Context(), []*persist.Exchange{x})
	to.close(s)
	if len(to.spans) != 3 || len(to.metrics) != 1 {
		t.Fatalf("got %d spans, %d exports of metrics", len(to.spans), len(to.metrics))
	}
	for _, got := range []string{fmt.Sprint(to.spans), fmt.Sprint(to.metrics)} {
		if strings.Contains(strings.ToLower(got), "sesame") {
			t.Errorf("got %s", got)
		}
	}
}

func TestTheUsualServiceTierIsNotWritten(t *testing.T) {
	x := failedOver()
	x.Trace.Asked = [][2]string{{"service_tier", `"auto"`}}
	if got := pairs(exported(t, Options{}, x)[2].Attributes)["openai.request.service_tier"]; got != nil {
		t.Errorf("got %v", got)
	}
}

func TestOutputTypeIsTheOneAskedFor(t *testing.T) {
	for _, c := range []struct {
		operation, format string
		want              any
	}{
		{"chat", `"json_object"`, "json"},
		{"chat", `"json_schema"`, "json"},
		{"responses", `"json_schema"`, "json"},
		{"chat", `"text"`, "text"},
		{"chat", `"invented"`, nil},
		{"chat", "", nil},
		{"chat", "null", nil},
		{"images/generations", `"b64_json"`, "image"},
		{"images/edits", "", "image"},
		{"audio/speech", `"mp3"`, "speech"},
		{"audio/transcriptions", `"json"`, nil},
		{"embeddings", "", nil},
	} {
		x := failedOver()
		x.Operation, x.Trace.Asked = c.operation, nil
		if c.format != "" {
			x.Trace.Asked = [][2]string{{"response_format", c.format}}
		}
		if got := pairs(exported(t, Options{}, x)[2].Attributes)["gen_ai.output.type"]; got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.operation, c.format, got, c.want)
		}
	}
}

func TestProviderIsThatOfTheApplication(t *testing.T) {
	for _, c := range []struct{ system, host, want string }{
		{"azure_oai", "apim.corp.example:443", "azure.ai.openai"},
		{"azure_oai", "10.0.0.7:443", "azure.ai.openai"},
		{"azure_oai", "api.openai.com:443", "azure.ai.openai"},
		{"openai", "one.openai.azure.com:443", "azure.ai.openai"},
		{"openai", "api.openai.com:443", "openai"},
		{"openai", "vllm.corp.example:8000", "openai"},
		{"", "one.cognitiveservices.azure.com:443", "azure.ai.openai"},
		{"", "apim.corp.example:443", "openai"},
	} {
		t.Run(c.system+" at "+c.host, func(t *testing.T) {
			x := failedOver()
			x.Trace.System, x.Attempts[1].Host = c.system, c.host
			x.Attempts = x.Attempts[1:]
			if got := pairs(exported(t, Options{}, x)[1].Attributes)["gen_ai.provider.name"]; got != c.want {
				t.Errorf("the span has %v, want %s", got, c.want)
			}
			const metric = "gen_ai.client.operation.duration"
			if diff := cmp.Diff(map[string]point{c.want + " ": {1, 1.39}}, pointsOf(measured(t, x)[metric], "gen_ai.provider.name")); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}
