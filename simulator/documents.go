package simulator

import (
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// badDocuments checks data_sources as "Azure OpenAI on your data" does: each has a type and parameters, and a key of
// type api_key must open the search service.
func (c *call) badDocuments(list gjson.Result) (refusal *reply) {
	if !list.IsArray() || list.Get("#").Int() != 1 {
		a := azureError(http.StatusBadRequest, "400", "Validation error at #/data_sources: exactly one data source is expected")
		return &a
	}
	source := list.Get("0")
	auth := source.Get("parameters.authentication")
	if source.Get("type").String() == "" || !source.Get("parameters").IsObject() {
		a := azureError(http.StatusBadRequest, "400", "Validation error at #/data_sources/0: type and parameters are required")
		return &a
	}
	if auth.Get("type").String() == "api_key" && !c.s.accepts(auth.Get("key").String()) {
		b := append([]byte(nil), `{"error":{"requestid":"`...)
		b = append(b, c.requestID()...)
		b = append(b, `","code":400,"message":"An error occurred when calling Azure Cognitive Search: Server responded with status 403. Error message: Access denied."}}`...)
		return &reply{status: http.StatusBadRequest, kind: kindJSON, body: b, failed: true}
	}
	return nil
}

// appendCitations appends the context of an answer on your data: two documents and what was searched for.
func appendCitations(b []byte, question string) []byte {
	intent := firstWords(question, 12, 160)
	b = append(b, `{"citations":[`...)
	for i := 1; i <= 2; i++ {
		n := strconv.Itoa(i)
		if i > 1 {
			b = append(b, ',')
		}
		b = append(b, `{"chunk_id":"`+n+`","content":`...)
		b = gjson.AppendJSONString(b, "Simulated document "+n+" about "+intent)
		b = append(b, `,"filepath":"document-`+n+`.pdf","title":"Document `+n+`","url":null}`...)
	}
	b = append(b, `],"intent":`...)
	b = gjson.AppendJSONString(b, string(append(gjson.AppendJSONString([]byte("["), intent), ']')))
	return append(b, '}')
}
