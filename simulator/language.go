package simulator

import (
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// language answers Azure AI Language's POST /language/:analyze-text for the kinds that work on documents.
func (c *call) language() reply {
	if c.query().Get("api-version") == "" {
		return azureError(http.StatusNotFound, "404", "Resource not found")
	}
	if _, bad := c.badJSON(); bad {
		return languageInvalid("The request body is not valid JSON.")
	}
	root := gjson.ParseBytes(c.body)
	kind := root.Get("kind").String()
	if documentResult(kind, "") == "" {
		return languageInvalid("Invalid value for 'kind'.")
	}
	documents := root.Get("analysisInput.documents")
	if !documents.IsArray() || !documents.Get("0").Exists() {
		return languageInvalid("Missing input records.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	var good, bad []byte
	documents.ForEach(func(_, d gjson.Result) bool {
		id := gjson.AppendJSONString([]byte(`{"id":`), d.Get("id").String())
		text := d.Get("text").String()
		if text == "" {
			bad = separate(bad)
			bad = append(append(bad, id...), `,"error":{"code":"InvalidArgument","message":"Invalid document in request.",`+
				`"innererror":{"code":"InvalidDocument","message":"Document text is empty."}}}`...)
			return true
		}
		good = separate(good)
		good = append(append(good, id...), ","+documentResult(kind, text)+`,"warnings":[]}`...)
		return true
	})
	b := append([]byte(nil), `{"kind":"`+kind+`Results","results":{"documents":[`...)
	b = append(append(b, good...), `],"errors":[`...)
	b = append(append(b, bad...), `],"modelVersion":"2023-09-01"}}`...)
	return ok(b)
}

// separate puts a comma behind what is there.
func separate(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	return b
}

func languageInvalid(message string) reply {
	b := append([]byte(nil), `{"error":{"code":"InvalidRequest","message":"Invalid Request.","innererror":{"code":"InvalidRequestBodyFormat","message":`...)
	b = append(gjson.AppendJSONString(b, message), "}}}"...)
	return reply{status: http.StatusBadRequest, kind: kindJSON, body: b, failed: true}
}

// documentResult is the members that a kind of analysis adds to a document; "" when there is no such kind.
func documentResult(kind, text string) string {
	found := subject(text)
	name := string(gjson.AppendJSONString(nil, found))
	size := strconv.Itoa(len([]rune(found)))
	switch kind {
	case "LanguageDetection":
		return `"detectedLanguage":{"name":"English","iso6391Name":"en","confidenceScore":1.0}`
	case "EntityRecognition":
		return `"entities":[{"text":` + name + `,"category":"Location","offset":0,"length":` + size + `,"confidenceScore":0.9}]`
	case "KeyPhraseExtraction":
		return `"keyPhrases":[` + name + `]`
	case "EntityLinking":
		return `"entities":[{"bingId":"00000000-0000-0000-0000-000000000000","name":` + name + `,"matches":[{"text":` + name +
			`,"offset":0,"length":` + size + `,"confidenceScore":0.5}],"language":"en","id":` + name + `,"url":"https://simulated.invalid/","dataSource":"Wikipedia"}]`
	case "SentimentAnalysis":
		return `"sentiment":"neutral","confidenceScores":{"positive":0.1,"neutral":0.8,"negative":0.1},"sentences":[]`
	case "PiiEntityRecognition":
		return `"redactedText":` + string(gjson.AppendJSONString(nil, text)) + `,"entities":[]`
	}
	return ""
}
