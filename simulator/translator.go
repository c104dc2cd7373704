package simulator

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// What one request to Translator may have: texts, and characters, counted once for each target language.
const (
	maxTexts      = 1000
	maxCharacters = 50_000
)

// translator answers Translator's translate, transliterate, detect, breaksentence and dictionary/lookup, version 3.0.
func (c *call) translator() reply {
	q := c.query()
	if q.Get("api-version") != "3.0" {
		return translatorError(http.StatusBadRequest, 400021, "The API version parameter is missing or not valid.")
	}
	to := q["to"]
	switch c.target.operation {
	case "translate":
		if len(to) == 0 || to[0] == "" {
			return translatorError(http.StatusBadRequest, 400036, "The target language is not valid.")
		}
	case "dictionary/lookup":
		if q.Get("from") == "" || len(to) != 1 {
			return translatorError(http.StatusBadRequest, 400023, "The language pair is not valid.")
		}
	case "transliterate":
		if q.Get("language") == "" || q.Get("fromScript") == "" || q.Get("toScript") == "" {
			return translatorError(http.StatusBadRequest, 400070, "The script parameters are missing or not valid.")
		}
	}
	if !valid(c.body) {
		return translatorError(http.StatusBadRequest, 400074, "The body of the request is not valid JSON.")
	}
	items := gjson.ParseBytes(c.body)
	if !items.IsArray() || !items.Get("0").Exists() {
		return translatorError(http.StatusBadRequest, 400072, "The body of the request is not a list of texts.")
	}
	metered := 0
	items.ForEach(func(_, item gjson.Result) bool {
		metered += utf8.RuneCountInString(textOf(item))
		return true
	})
	if n := items.Get("#").Int(); n > maxTexts || metered*max(1, len(to)) > maxCharacters || len(to) > maxTexts {
		return translatorError(http.StatusBadRequest, 400077, "The maximum request size has been exceeded.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	b := []byte{'['}
	items.ForEach(func(_, item gjson.Result) bool {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = c.appendTranslation(b, textOf(item), to)
		return true
	})
	a := ok(append(b, ']'))
	a.header = append(a.header, "X-Metered-Usage", strconv.Itoa(metered))
	return a
}

// textOf is the text of one item, whose name may begin with either case.
func textOf(item gjson.Result) string {
	if text := item.Get("Text"); text.Exists() {
		return text.String()
	}
	return item.Get("text").String()
}

// appendTranslation appends the answer to one text.
func (c *call) appendTranslation(b []byte, text string, to []string) []byte {
	q := c.query()
	switch c.target.operation {
	case "transliterate":
		b = gjson.AppendJSONString(append(b, `{"text":`...), text)
		b = gjson.AppendJSONString(append(b, `,"script":`...), q.Get("toScript"))
		return append(b, '}')
	case "detect":
		return append(b, `{"language":"en","score":1.0,"isTranslationSupported":true,"isTransliterationSupported":false}`...)
	case "breaksentence":
		b = append(b, `{"detectedLanguage":{"language":"en","score":1.0},"sentLen":[`...)
		b = strconv.AppendInt(b, int64(utf8.RuneCountInString(text)), 10)
		return append(b, "]}"...)
	case "dictionary/lookup":
		b = gjson.AppendJSONString(append(b, `{"normalizedSource":`...), text)
		b = gjson.AppendJSONString(append(b, `,"displaySource":`...), text)
		b = gjson.AppendJSONString(append(b, `,"translations":[{"normalizedTarget":`...), "["+to[0]+"] "+text)
		b = gjson.AppendJSONString(append(b, `,"displayTarget":`...), "["+to[0]+"] "+text)
		return append(b, `,"posTag":"NOUN","confidence":1.0,"prefixWord":"","backTranslations":[]}]}`...)
	}
	b = append(b, '{')
	if q.Get("from") == "" {
		b = append(b, `"detectedLanguage":{"language":"en","score":1.0},`...)
	}
	b = append(b, `"translations":[`...)
	for i, language := range to {
		if i > 0 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(append(b, `{"text":`...), "["+language+"] "+text)
		b = gjson.AppendJSONString(append(b, `,"to":`...), language)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// languages answers GET /languages, which needs no key.
func (c *call) languages() reply {
	if c.query().Get("api-version") != "3.0" {
		return translatorError(http.StatusBadRequest, 400021, "The API version parameter is missing or not valid.")
	}
	return ok([]byte(`{"translation":{"de":{"name":"German","nativeName":"Deutsch","dir":"ltr"},"en":{"name":"English","nativeName":"English","dir":"ltr"},` +
		`"fr":{"name":"French","nativeName":"Français","dir":"ltr"},"ja":{"name":"Japanese","nativeName":"日本語","dir":"ltr"}},` +
		`"transliteration":{},"dictionary":{}}`))
}
