package simulator

import (
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// search answers Azure AI Search's POST /indexes/{index}/docs/search: keyword, vector, hybrid and semantic queries, all
// with made-up documents that quote the query.
func (c *call) search() reply {
	if c.query().Get("api-version") == "" {
		return azureError(http.StatusBadRequest, "MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.")
	}
	if _, bad := c.badJSON(); bad {
		return searchInvalid("The request is invalid. Details: The body is not valid JSON.")
	}
	root := gjson.ParseBytes(c.body)
	vectors := root.Get("vectorQueries")
	if vectors.Exists() && !validVectors(vectors) {
		return searchInvalid("The request is invalid. Details: vectorQueries : each needs a kind, and a vector or a text.")
	}
	top := 3
	if v := root.Get("top"); v.Type != gjson.Null && !readInt(v, 0, 1000, &top) {
		return searchInvalid("The request is invalid. Details: top : Value must be between 0 and 1000.")
	}
	semantic := root.Get("queryType").String() == "semantic"
	if semantic && root.Get("semanticConfiguration").String() == "" {
		return searchInvalid("The request is invalid. Details: semanticConfiguration : is required when queryType is 'semantic'.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	about := root.Get("search").String()
	if about == "" {
		about = vectors.Get("0.text").String()
	}
	about = firstWords(about, 12, 160)
	b := append([]byte(nil), `{"@odata.context":"https://simulated.search.windows.net/indexes('simulated')/$metadata#docs(*)"`...)
	if root.Get("count").Bool() {
		b = append(b, `,"@odata.count":`...)
		b = strconv.AppendInt(b, int64(top), 10)
	}
	if semantic {
		b = append(b, `,"@search.answers":[]`...)
	}
	b = append(b, `,"value":[`...)
	for i := range top {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"@search.score":`...)
		b = strconv.AppendFloat(b, 12.5/float64(i+1), 'f', 4, 64)
		if semantic {
			b = append(b, `,"@search.rerankerScore":`...)
			b = strconv.AppendFloat(b, 3.2/float64(i+1), 'f', 4, 64)
			b = append(b, `,"@search.captions":[]`...)
		}
		n := strconv.Itoa(i + 1)
		b = append(b, `,"id":"`+n+`","title":"Document `+n+`","content":`...)
		b = gjson.AppendJSONString(b, "Simulated document "+n+" about “"+about+"”.")
		b = append(b, '}')
	}
	return ok(append(b, "]}"...))
}

func searchInvalid(message string) reply { return azureError(http.StatusBadRequest, "", message) }

func validVectors(list gjson.Result) bool {
	good := list.IsArray()
	list.ForEach(func(_, q gjson.Result) bool {
		switch q.Get("kind").String() {
		case "vector":
			good = good && q.Get("vector.0").Type == gjson.Number
		case "text":
			good = good && q.Get("text").Type == gjson.String
		default:
			good = false
		}
		return good
	})
	return good
}
