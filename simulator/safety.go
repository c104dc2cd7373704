package simulator

import (
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// maxSafetyText is the longest text that Content Safety analyzes, in characters.
const maxSafetyText = 10_000

// safetyText answers Content Safety's POST /contentsafety/text:analyze.
func (c *call) safetyText() reply {
	if bad, is := c.badSafety(); is {
		return bad
	}
	text := gjson.GetBytes(c.body, "text")
	if text.Type != gjson.String || text.Str == "" || len([]rune(text.Str)) > maxSafetyText {
		return safetyInvalid("The field text is required and has at most 10000 characters.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	b := append([]byte(nil), `{"blocklistsMatch":[],`...)
	return ok(append(appendSeverities(b, filterCategory(text.Str)), '}'))
}

// safetyImage answers Content Safety's POST /contentsafety/image:analyze.
func (c *call) safetyImage() reply {
	if bad, is := c.badSafety(); is {
		return bad
	}
	image := gjson.GetBytes(c.body, "image")
	if image.Get("content").String() == "" && image.Get("blobUrl").String() == "" {
		return safetyInvalid("The field image needs content or blobUrl.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	return ok(append(appendSeverities([]byte{'{'}, ""), '}'))
}

func (c *call) badSafety() (reply, bool) {
	if c.query().Get("api-version") == "" {
		return azureError(http.StatusNotFound, "404", "Resource not found"), true
	}
	if _, bad := c.badJSON(); bad {
		return safetyInvalid("The request body is not valid JSON."), true
	}
	return reply{}, false
}

func safetyInvalid(message string) reply {
	return azureError(http.StatusBadRequest, "InvalidRequestBody", message)
}

func appendSeverities(b []byte, category string) []byte {
	b = append(b, `"categoriesAnalysis":[`...)
	for i, name := range [...]struct{ marker, shown string }{{"hate", "Hate"}, {"self_harm", "SelfHarm"}, {"sexual", "Sexual"}, {"violence", "Violence"}} {
		severity := 0
		if name.marker == category {
			severity = 4
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"category":"`+name.shown+`","severity":`...)
		b = strconv.AppendInt(b, int64(severity), 10)
		b = append(b, '}')
	}
	return append(b, ']')
}
