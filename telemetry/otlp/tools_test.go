package otlp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestToolsAndInstructionsHaveTheConventionsForm(t *testing.T) {
	for _, c := range []struct{ name, prompt, tools, instructions string }{
		{
			"chat", `{"messages":[{"role":"system","content":"Be brief."}],"tools":[
				{"type":"function","function":{"name":"look","description":"Looks.","parameters":{"type":"object","properties":{}},"strict":true}},
				{"type":"function","function":{"name":"wait","parameters":null}},
				{"type":"custom","custom":{"name":"run","description":"Runs.","format":{"type":"text"}}}]}`,
			`[{"type":"function","name":"look","description":"Looks.","parameters":{"type":"object","properties":{}}},
			{"type":"function","name":"wait"},{"type":"custom","name":"run"}]`, ``,
		},
		{
			"responses", `{"instructions":"Be brief.","input":"Hi","tools":[
				{"type":"function","name":"look","description":"Looks.","parameters":{"type":"object"}},
				{"type":"web_search"},
				{"type":"mcp","server_label":"wiki","server_url":"https://u:p@x","authorization":"sesame","headers":{"x":"sesame"}}]}`,
			`[{"type":"function","name":"look","description":"Looks.","parameters":{"type":"object"}},
			{"type":"web_search","name":"web_search"},{"type":"mcp","name":"wiki"}]`,
			`[{"type":"text","content":"Be brief."}]`,
		},
		{
			"functions of old", `{"functions":[{"name":"look","description":"Looks.","parameters":{"type":"object"}}]}`,
			`[{"type":"function","name":"look","description":"Looks.","parameters":{"type":"object"}}]`, ``,
		},
		{"none", `{"messages":[],"tools":[],"instructions":null}`, ``, ``},
		{
			"hostile", `{"tools":[7,null,"x",{"type":7},{"type":"@this|a.*#(","name":["x"]}],"functions":{"a":1},"instructions":["x"]}`,
			`[{"type":"@this|a.*#(","name":"@this|a.*#("},{"type":"function","name":"function"}]`, ``,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := failedOver()
			x.Trace.Prompt = []byte(c.prompt)
			got := pairs(exported(t, Options{Content: true}, x)[2].Attributes)
			for k, want := range map[string]string{"gen_ai.tool.definitions": c.tools, "gen_ai.system_instructions": c.instructions} {
				text, _ := got[k].(string)
				if diff := cmp.Diff(parsed(t, want), parsed(t, text)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", k, diff)
				}
			}
			for k := range pairs(exported(t, Options{}, x)[2].Attributes) {
				if k == "gen_ai.tool.definitions" || k == "gen_ai.system_instructions" {
					t.Errorf("got %s though content is off", k)
				}
			}
		})
	}
}
