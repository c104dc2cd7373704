package simulator

import (
	"bytes"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// service is the kind of Azure AI service that a path belongs to: it decides the key header and the error shape.
type service uint8

const (
	serviceNone   service = iota
	serviceAzure          // Azure OpenAI: /openai/…
	serviceOpenAI         // the OpenAI form: /v1/…
	serviceSearch
	serviceLanguage
	serviceTranslator
	serviceSafety
	serviceAdmin // /sim/…: the simulator's own
)

// target is where a request goes.
type target struct {
	service    service
	operation  string // of Azure OpenAI: "chat/completions"; of the others, what they do
	deployment string // or index name, or the service's name
	public     bool   // needs no key
	byModel    bool   // the deployment is the body's model
	versioned  bool   // refuses to answer without an api-version
	answer     func(*call) reply
}

// resolve finds the target of a request. One without an answer function is unknown.
func resolve(r *http.Request) target {
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case strings.HasPrefix(path, "/openai/deployments/"):
		name, operation, _ := strings.Cut(path[len("/openai/deployments/"):], "/")
		t := target{service: serviceAzure, operation: operation, deployment: name, versioned: true}
		if name != "" {
			t.answer = modelOperation(r.Method, operation)
		}
		return t
	case strings.HasPrefix(path, "/openai/v1/"):
		return byModel(r.Method, serviceAzure, path[len("/openai/v1/"):])
	case strings.HasPrefix(path, "/v1/"):
		return byModel(r.Method, serviceOpenAI, path[len("/v1/"):])
	case strings.HasPrefix(path, "/indexes"):
		t := target{service: serviceSearch, operation: "search", deployment: "search"}
		if r.Method == http.MethodPost && isSearchPath(path) {
			t.answer = (*call).search
		}
		return t
	case path == "/language/:analyze-text":
		return posted(r, target{service: serviceLanguage, operation: "analyze", deployment: "language", answer: (*call).language})
	case strings.HasPrefix(path, "/contentsafety/"):
		return safetyTarget(r, path[len("/contentsafety/"):])
	case strings.HasPrefix(path, "/sim/"):
		return target{service: serviceAdmin, operation: path[len("/sim/"):]}
	}
	return translatorTarget(r, strings.TrimPrefix(strings.TrimPrefix(path, "/translator"), "/"))
}

// modelOperation is the answer to an operation of Azure OpenAI; nil when it has no such operation.
func modelOperation(method, operation string) func(*call) reply {
	if method != http.MethodPost {
		return nil
	}
	switch operation {
	case "chat/completions":
		return (*call).chat
	case "completions":
		return (*call).completions
	case "embeddings":
		return (*call).embeddings
	case "images/generations":
		return (*call).images
	case "audio/transcriptions":
		return (*call).transcription
	case "audio/speech":
		return (*call).speech
	case "responses":
		return (*call).responses
	case "moderations":
		return (*call).moderations
	}
	return nil
}

// byModel is the target of a path of the OpenAI form, whose deployment is the body's model.
func byModel(method string, s service, operation string) target {
	if operation == "models" && method == http.MethodGet {
		return target{service: s, operation: operation, deployment: "models", answer: (*call).models}
	}
	return target{service: s, operation: operation, byModel: true, answer: modelOperation(method, operation)}
}

func posted(r *http.Request, t target) target {
	if r.Method != http.MethodPost {
		t.answer = nil
	}
	return t
}

// isSearchPath knows the two spellings, /indexes/i/docs/search and the OData one, /indexes('i')/docs/search.post.search.
func isSearchPath(path string) bool {
	index, ok := strings.CutSuffix(strings.TrimPrefix(path, "/indexes"), "/docs/search")
	if ok {
		return len(index) > 1 && index[0] == '/' && !strings.Contains(index[1:], "/")
	}
	index, ok = strings.CutSuffix(strings.TrimPrefix(path, "/indexes"), "/docs/search.post.search")
	return ok && len(index) > 4 && strings.HasPrefix(index, "('") && strings.HasSuffix(index, "')")
}

func safetyTarget(r *http.Request, operation string) target {
	t := target{service: serviceSafety, operation: operation, deployment: "contentsafety"}
	switch operation {
	case "text:analyze":
		t.answer = (*call).safetyText
	case "image:analyze":
		t.answer = (*call).safetyImage
	}
	return posted(r, t)
}

func translatorTarget(r *http.Request, operation string) target {
	t := target{service: serviceTranslator, operation: operation, deployment: "translator", answer: (*call).translator}
	switch operation {
	case "translate", "transliterate", "detect", "breaksentence", "dictionary/lookup":
		return posted(r, t)
	case "languages":
		t.public, t.answer = true, (*call).languages
		if r.Method == http.MethodGet {
			return t
		}
	}
	return target{}
}

// fromBody completes a target whose deployment is named by the body.
func (t *target) fromBody(body []byte) {
	if !t.byModel {
		return
	}
	t.deployment = "unnamed"
	if t.operation == "audio/transcriptions" {
		if model := formValue(body, "model"); model != "" {
			t.deployment = model
		}
		return
	}
	if !valid(body) {
		return
	}
	if model := gjson.GetBytes(body, "model"); model.Type == gjson.String && model.Str != "" {
		t.deployment = model.Str
	}
}

// valid says whether body is one JSON value, nested no deeper than any client means it: the parser recurses.
func valid(body []byte) bool {
	const deepest = 10_000
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > deepest && depth(body) > deepest {
		return false
	}
	return gjson.ValidBytes(body)
}

// depth is how deep the brackets of body nest, those in strings left out.
func depth(body []byte) int {
	var now, most int
	var quoted bool
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '[' || b == '{':
			now++
			most = max(most, now)
		case b == ']' || b == '}':
			now--
		}
	}
	return most
}

// authorized checks the key in the header that the service takes it from.
func (c *call) authorized() bool {
	if c.target.public {
		return true
	}
	h := c.r.Header
	bearer, isBearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !isBearer {
		bearer = ""
	}
	switch c.target.service {
	case serviceAzure:
		return c.s.accepts(h.Get("Api-Key")) || c.s.accepts(bearer)
	case serviceOpenAI:
		return c.s.accepts(bearer) || c.s.accepts(h.Get("Api-Key"))
	case serviceSearch:
		return c.s.accepts(h.Get("Api-Key"))
	}
	return c.s.accepts(h.Get("Ocp-Apim-Subscription-Key"))
}

func (s *Simulator) accepts(key string) bool {
	if key == "" || len(s.keys) == 0 {
		return key != ""
	}
	found := 0
	for _, k := range s.keys {
		found |= subtle.ConstantTimeCompare([]byte(k), []byte(key))
	}
	return found == 1
}

// query is the parsed query, parsed once.
func (c *call) query() url.Values {
	if c.parsedQuery == nil {
		c.parsedQuery = c.r.URL.Query()
	}
	return c.parsedQuery
}

// apiVersion returns the refusal of a missing or strange api-version, as Azure words it.
func (c *call) apiVersion() (reply, bool) {
	if !c.target.versioned {
		return reply{}, true
	}
	switch version := c.query().Get("api-version"); {
	case version == "":
		return c.notFound(), false
	case !isDate(strings.TrimSuffix(version, "-preview")):
		return azureError(http.StatusBadRequest, "BadRequest", "API version not supported"), false
	}
	return reply{}, true
}

// isDate says whether s looks like 2024-10-21.
func isDate(s string) bool {
	if len(s) != 10 {
		return false
	}
	for i := range len(s) {
		if dash := i == 4 || i == 7; dash != (s[i] == '-') || !dash && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
