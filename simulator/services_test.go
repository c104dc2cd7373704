package simulator

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// answers calls path and checks members of a JSON answer.
func answers(t *testing.T, path, body string, status int, want map[string]string) {
	t.Helper()
	w, _ := post(t, New(Options{}), path, body)
	if w.Code != status || !gjson.Valid(w.Body.String()) {
		t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
		return
	}
	for member, value := range want {
		if got := gjson.Get(w.Body.String(), member).String(); got != value {
			t.Errorf("%s %s: %s = %q, want %q", path, body, member, got, value)
		}
	}
}

func TestSearchAnswersEveryKindOfQuery(t *testing.T) {
	const path = "/indexes/i/docs/search?api-version=2024-07-01"
	answers(t, path, `{"search":"gateways","count":true,"top":2}`, 200, map[string]string{"value.#": "2", "@odata\\.count": "2", "value.0.content": "Simulated document 1 about “gateways”."})
	answers(t, "/indexes('i')/docs/search.post.search?api-version=2024-07-01", `{"search":"gateways"}`, 200, map[string]string{"value.#": "3"})
	answers(t, path, `{"vectorQueries":[{"kind":"vector","vector":[0.1,0.2],"fields":"v"}]}`, 200, map[string]string{"value.0.id": "1"})
	answers(t, path, `{"vectorQueries":[{"kind":"text","text":"cats"}]}`, 200, map[string]string{"value.0.content": "Simulated document 1 about “cats”."})
	answers(t, path, `{"search":"x","queryType":"semantic","semanticConfiguration":"c"}`, 200, map[string]string{"value.0.@search\\.rerankerScore": "3.2"})
	answers(t, path, `{"search":"x","queryType":"semantic"}`, 400, nil)
	answers(t, path, `{"vectorQueries":[{"kind":"vector"}]}`, 400, nil)
	answers(t, path, `{"top":-1}`, 400, nil)
	answers(t, path, `nonsense`, 400, nil)
	answers(t, "/indexes/i/docs/search", `{}`, 400, map[string]string{"error.code": "MissingApiVersionParameter"})
}

func TestLanguageAnswersEveryKind(t *testing.T) {
	const path = "/language/:analyze-text?api-version=2023-04-01"
	for kind, member := range map[string]string{
		"LanguageDetection": "detectedLanguage.iso6391Name", "EntityRecognition": "entities.0.text", "KeyPhraseExtraction": "keyPhrases.0",
		"EntityLinking": "entities.0.dataSource", "SentimentAnalysis": "sentiment", "PiiEntityRecognition": "redactedText",
	} {
		w, _ := post(t, New(Options{}), path, `{"kind":"`+kind+`","analysisInput":{"documents":[{"id":"1","language":"en","text":"We went to Paris \"once\""},{"id":"2","text":""}]}}`)
		root := gjson.Parse(w.Body.String())
		if w.Code != 200 || !gjson.Valid(w.Body.String()) || root.Get("kind").String() != kind+"Results" || root.Get("results.documents.0."+member).String() == "" ||
			root.Get("results.errors.0.id").String() != "2" {
			t.Errorf("%s: %d %s", kind, w.Code, w.Body)
		}
	}
	answers(t, path, `{"kind":"Poetry"}`, 400, map[string]string{"error.code": "InvalidRequest"})
	answers(t, path, `{"kind":"SentimentAnalysis","analysisInput":{"documents":[]}}`, 400, nil)
	answers(t, path, `[`, 400, nil)
}

func TestTranslatorAnswersEveryOperation(t *testing.T) {
	for _, prefix := range []string{"", "/translator"} {
		answers(t, prefix+"/translate?api-version=3.0&to=de&to=fr", `[{"Text":"cat"},{"text":"dog"}]`, 200, map[string]string{
			"#": "2", "0.translations.1.text": "[fr] cat", "1.translations.0.to": "de", "0.detectedLanguage.language": "en",
		})
		answers(t, prefix+"/transliterate?api-version=3.0&language=ja&fromScript=Jpan&toScript=Latn", `[{"Text":"猫"}]`, 200, map[string]string{"0.script": "Latn"})
		answers(t, prefix+"/detect?api-version=3.0", `[{"Text":"cat"}]`, 200, map[string]string{"0.language": "en"})
		answers(t, prefix+"/breaksentence?api-version=3.0", `[{"Text":"Łódź"}]`, 200, map[string]string{"0.sentLen.0": "4"})
		answers(t, prefix+"/dictionary/lookup?api-version=3.0&from=en&to=de", `[{"Text":"cat"}]`, 200, map[string]string{"0.translations.0.normalizedTarget": "[de] cat"})
	}
	answers(t, "/translate?api-version=3.0", `[{"Text":"cat"}]`, 400, map[string]string{"error.code": "400036"})
	answers(t, "/translate?to=de", `[{"Text":"cat"}]`, 400, map[string]string{"error.code": "400021"})
	answers(t, "/translate?api-version=3.0&to=de", `{}`, 400, map[string]string{"error.code": "400072"})
	answers(t, "/translate?api-version=3.0&to=de", `nonsense`, 400, map[string]string{"error.code": "400074"})
	answers(t, "/translate?api-version=3.0&to=de&to=fr", `[{"Text":"`+strings.Repeat("x", maxCharacters/2+1)+`"}]`, 400, map[string]string{"error.code": "400077"})
	w, _ := do(t, New(Options{}), "GET", "/languages?api-version=3.0", "", "Ocp-Apim-Subscription-Key", "")
	if w.Code != 200 || member(w, "translation.de.name") != "German" {
		t.Errorf("languages: %d %s", w.Code, w.Body)
	}
	w, _ = post(t, New(Options{}), "/translate?api-version=3.0&from=en&to=de", `[{"Text":"łódź"}]`)
	if w.Header().Get("X-Metered-Usage") != "4" || strings.Contains(w.Body.String(), "detectedLanguage") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

func TestContentSafetyGradesText(t *testing.T) {
	const text, image = "/contentsafety/text:analyze?api-version=2024-09-01", "/contentsafety/image:analyze?api-version=2024-09-01"
	answers(t, text, `{"text":"a violence-test"}`, 200, map[string]string{"categoriesAnalysis.#": "4", "categoriesAnalysis.3.category": "Violence", "categoriesAnalysis.3.severity": "4", "categoriesAnalysis.0.severity": "0"})
	answers(t, image, `{"image":{"content":"AAAA"}}`, 200, map[string]string{"categoriesAnalysis.3.severity": "0"})
	answers(t, image, `{"image":{}}`, 400, map[string]string{"error.code": "InvalidRequestBody"})
	answers(t, text, `{}`, 400, nil)
	answers(t, text, `{"text":"`+strings.Repeat("x", maxSafetyText+1)+`"}`, 400, nil)
	answers(t, "/contentsafety/text:analyze", `{"text":"a"}`, 404, nil)
}

func TestBigPadsAnswersWithoutTextOfTheirOwn(t *testing.T) {
	w, _ := post(t, New(Options{}), "/contentsafety/text:analyze?api-version=1", `{"text":"a"}`, "X-Sim-Fault", "big=50000")
	if w.Code != 200 || w.Body.Len() < 50000 || !gjson.Valid(w.Body.String()) {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}
