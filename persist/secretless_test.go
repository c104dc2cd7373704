package persist

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSecretlessHidesWhatARequestHasPlacesFor(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{
			"on your data",
			`{"data_sources":[{"type":"azure_search","parameters":{"endpoint":"https://s","index_name":"i","authentication":{"type":"api_key","key":"hush"}}}]}`,
			`{"data_sources":[{"type":"azure_search","parameters":{"endpoint":"https://s","index_name":"i","authentication":{"type":"api_key","key":"***"}}}]}`,
		},
		{
			"authentication of any shape",
			`{"data_sources":[{"parameters":{"authentication":"hush"}},{"parameters":{"authentication":[{"type":"x","deep":{"type":"hush","n":7}}]}},{"authentication":{"type":{"a":"hush"}}}]}`,
			`{"data_sources":[{"parameters":{"authentication":"***"}},{"parameters":{"authentication":[{"type":"x","deep":{"type":"***","n":"***"}}]}},{"authentication":{"type":{"a":"***"}}}]}`,
		},
		{
			"embedding dependency",
			`{"data_sources":[{"parameters":{"embedding_dependency":{"type":"endpoint","authentication":{"type":"access_token","access_token":"hush"}}}}]}`,
			`{"data_sources":[{"parameters":{"embedding_dependency":{"type":"endpoint","authentication":{"type":"access_token","access_token":"***"}}}}]}`,
		},
		{
			"older names",
			`{"dataSources":[{"type":"AzureCognitiveSearch","parameters":{"key":"hush","embeddingKey":"hush","encodedApiKey":"hush","indexName":"i"}},{"parameters":{"connection_string":"hush","Password":"hush","api-key":"hush"}}]}`,
			`{"dataSources":[{"type":"AzureCognitiveSearch","parameters":{"key":"***","embeddingKey":"***","encodedApiKey":"***","indexName":"i"}},{"parameters":{"connection_string":"***","Password":"***","api-key":"***"}}]}`,
		},
		{
			"sources that are wrapped",
			`{"extra_body": {"data_sources" :[ {"api_key" : "hush"} ] } }`,
			`{"extra_body": {"data_sources" :[ {"api_key" : "***"} ] } }`,
		},
		{
			"names in escapes",
			`{"data\u005fsources":[{"api\u005fkey":"hush"}]}`,
			`{"data\u005fsources":[{"api\u005fkey":"***"}]}`,
		},
		{
			"tools",
			`{"tools":[{"type":"mcp","server_url":"https://m","headers":{"Authorization":"hush","x":["hush",1,null,true]},"authorization":"hush","server":{"token":"hush"}}]}`,
			`{"tools":[{"type":"mcp","server_url":"https://m","headers":{"Authorization":"***","x":["***","***",null,true]},"authorization":"***","server":{"token":"***"}}]}`,
		},
		{
			"URLs of tools and data sources",
			`{"tools":[{"type":"mcp","server_url":"https://u:hush@m/sse?key=hush"},{"type":"function","function":{"parameters":{"default":"https:\/\/h?k=hush"}}}],"data_sources":[{"parameters":{"endpoint":"https://hush@s/x","n":[7,"wss://s?k=hush"],"authentication":{"type":"https://s?k=hush"}}}]}`,
			`{"tools":[{"type":"mcp","server_url":"https://m/sse?***"},{"type":"function","function":{"parameters":{"default":"https://h?***"}}}],"data_sources":[{"parameters":{"endpoint":"https://s/x","n":[7,"wss://s?***"],"authentication":{"type":"https://s?***"}}}]}`,
		},
		{
			"credentials at the top",
			`{"api_key":"hush","model":"m"}`,
			`{"api_key":"***","model":"m"}`,
		},
	} {
		if got := string(Secretless([]byte(c.in))); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestSecretlessLeavesEverythingElse(t *testing.T) {
	for _, in := range []string{
		`{"messages":[{"role":"user","content":"password: x","name":"api_key"}],"prompt_cache_key":"k","max_tokens":1}`,
		`{"messages":[{"content":{"authentication":{"key":"x"},"password":"y"}}]}`,
		`{"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"password":{"type":"string"},"headers":{"type":"object"}}}}}]}`,
		`{"tools":[{"type":"function","name":"f","parameters":{"properties":{"api_key":{"type":"string"}}}}]}`,
		`{"tools":[{"type":"file_search","filters":{"type":"eq","key":"region","value":"us"}}]}`,
		`{"messages":[{"content":"https://u:p@h?q=1"}],"tools":[{"server_url":"https:\/\/m/sse"}],"user":"https://u:p@h"}`,
		`{"data_sources":[{"parameters":{"fields_mapping":{"title_field":"t"},"top_n_documents":5}}],"data_sources2":{"api_key":"x"}}`,
		` [1, -2.5e3, true, null, {}, [] ] `, `"x"`, `7`, `{"tools":null,"data_sources":null}`,
	} {
		b := []byte(in)
		if got := Secretless(b); string(got) != in || &got[0] != &b[0] {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func TestSecretlessKeepsNothingThatItCannotRead(t *testing.T) {
	for _, in := range []string{``, `{"data_sources":[{"api_key":"hush"`, `{} {}`, "\x00", strings.Repeat("[", 20000) + strings.Repeat("]", 20000)} {
		if got := string(Secretless([]byte(in))); got != "null" {
			t.Errorf("%.40q became %.40q", in, got)
		}
	}
}

func FuzzSecretless(f *testing.F) {
	f.Add([]byte(`{"data_sources":[{"parameters":{"authentication":{"type":"api_key","key":"a"},"k":[1]}}],"tools":[{"headers":{"a":"b"}}]}`), "api_key")
	f.Add([]byte(`[{"a":-1e5,"b":[]}, "\"" ,{}]`), "password")
	f.Add([]byte("{\"\\u0000\":\"\xff\"}"), "token")
	f.Fuzz(func(t *testing.T, in []byte, name string) {
		out := Secretless(append([]byte(nil), in...))
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		if !json.Valid(in) {
			return
		}
		// A secret put under authentication, beside whatever this is.
		quoted, _ := json.Marshal(name)
		whole := `{"x":` + string(in) + `,"data_sources":[` + string(in) + `,{"authentication":{` + string(quoted) + `:["hush-hush"]}}]}`
		if got := Secretless([]byte(whole)); !json.Valid(got) || strings.Contains(string(got), "hush-hush") && !strings.Contains(string(in)+name, "hush-hush") {
			t.Fatalf("%q became %q", whole, got)
		}
	})
}
