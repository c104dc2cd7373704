package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"aigateway/backend"
	"aigateway/config"
	"aigateway/persist"
)

// service answers a call to one of the other Azure AI services: contract
// section 15. Requests and answers pass unchanged.
func (s *Server) service(c *gin.Context, in *inbound, x *persist.Exchange) error {
	call := &backend.Call{
		Header: c.Request.Header, ContentType: "application/json",
		Body: in.body, Deadline: in.deadline(x.Start),
	}
	query := c.Request.URL.Query()
	if in.app.AppType == config.AzureTranslator {
		if err := translation(call, query); err != nil {
			return err
		}
	}
	x.Call = callName(in.app.AppType, query, in)
	if call.Method != http.MethodGet && !json.Valid(in.body) {
		return &refusal{http.StatusBadRequest, codeInvalidPayload, "The body is not valid JSON.", ""}
	}
	if err := s.admit(c, in, nil, x); err != nil {
		return err
	}
	answered, err := s.forward(c.Request.Context(), in, call, nil, x)
	if err != nil {
		return err
	}
	defer s.close(in, answered, x)
	return s.relay(c, in, answered, &after{}, x)
}

// translations are the translator's operations: the path below the endpoint's
// URI by the query's kind, which is written with or without its slash.
var translations = map[string]struct{ path, call string }{
	"translate":           {"translate", "translateApiCalls"},
	"transliterate":       {"transliterate", "transliterateApiCalls"},
	"detect":              {"detect", "detectApiCalls"},
	"breaksentence":       {"breaksentence", "breakSentenceApiCalls"},
	"dictionary/lookup":   {"dictionary/lookup", "dictionaryApiCalls"},
	"dictionary/examples": {"dictionary/examples", "dictionaryApiCalls"},
	"languages":           {"languages", "languageApiCalls"},
}

// translation addresses a call to the translator: the operation is the query's
// kind, everything else in the query is the operation's.
func translation(call *backend.Call, query url.Values) error {
	op, ok := translations[strings.ToLower(query.Get("kind"))]
	if !ok {
		return &refusal{
			http.StatusBadRequest, codeInvalidPayload,
			"The query's kind must be one of translate, transliterate, detect, breaksentence, dictionary/lookup, dictionary/examples, languages.", "kind",
		}
	}
	call.Path = op.path
	if op.path == "languages" { // the only one that Azure offers by GET
		call.Method, call.Body = http.MethodGet, nil
	}
	call.Query = url.Values{}
	for name, values := range query {
		if name != "kind" {
			call.Query[name] = values
		}
	}
	return nil
}

// callName is the metric that counts a call: contract section 14.
func callName(kind config.AppType, query url.Values, in *inbound) string {
	switch kind {
	case config.AzureTranslator:
		return translations[strings.ToLower(query.Get("kind"))].call
	case config.AzureLanguage:
		return languageCalls[gjson.GetBytes(in.body, "kind").Str]
	case config.AzureContentSafety:
		if strings.Contains(in.app.Endpoints[0].URI, "image:analyze") || gjson.GetBytes(in.body, "image").Exists() {
			return "imageApiCalls"
		}
		return "textApiCalls"
	case config.AzureSearch:
		return searchCall(in.body)
	}
	return ""
}

var languageCalls = map[string]string{
	"LanguageDetection":    "languageDetectionApiCalls",
	"EntityRecognition":    "namedEntityRecognitionApiCalls",
	"KeyPhraseExtraction":  "keyPhraseExtractionApiCalls",
	"EntityLinking":        "entityLinkingApiCalls",
	"SentimentAnalysis":    "sentimentAnalysisApiCalls",
	"PiiEntityRecognition": "piiEntityRecognitionApiCalls",
}

// searchCall classes a search by the members of its body; the first match of
// contract section 14 counts.
func searchCall(body []byte) string {
	found := gjson.GetManyBytes(body, "search", "queryType", "vectorQueries.0.kind")
	text := found[0].Type == gjson.String && found[0].Str != ""
	semantic, vector := found[1].Str == "semantic", found[2].Str
	plain := !found[1].Exists() || slices.Contains([]string{"", "none", "simple", "full"}, found[1].Str)
	switch {
	case vector == "vector" && text && semantic:
		return "hybridSemanticApiCalls"
	case vector == "" && text && plain:
		return "keywordApiCalls"
	case vector == "vector" && text:
		return "hybridApiCalls"
	case vector == "vector":
		return "vectorApiCalls"
	case vector == "text" && text && semantic:
		return "intKeywordVectorSemanticApiCalls"
	case vector == "text" && text:
		return "intKeywordVectorApiCalls"
	case vector == "text":
		return "intVectorApiCalls"
	case text && semantic:
		return "keywordSemanticApiCalls"
	}
	return ""
}
