package simulator

import (
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// errorObject is the error that both OpenAI and Azure put in an answer already begun.
const errorObject = `{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}`

// azureError is an error of Azure's front: {"error":{"code","message"}}.
func azureError(status int, code, message string) reply {
	b := append([]byte(nil), `{"error":{"code":`...)
	b = gjson.AppendJSONString(b, code)
	b = append(b, `,"message":`...)
	b = gjson.AppendJSONString(b, message)
	b = append(b, "}}"...)
	return reply{status: status, kind: kindJSON, body: b, failed: true}
}

// translatorError is an error of Translator, whose codes are numbers of six digits.
func translatorError(status, code int, message string) reply {
	b := append([]byte(nil), `{"error":{"code":`...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, `,"message":`...)
	b = gjson.AppendJSONString(b, message)
	b = append(b, "}}"...)
	return reply{status: status, kind: kindJSON, body: b, failed: true}
}

// modelError is an error of the model behind Azure OpenAI and OpenAI alike: {"error":{"message","type","param","code"}}.
// An empty param or code is null.
func modelError(status int, kind, param, code, message string) reply {
	b := append([]byte(nil), `{"error":{"message":`...)
	b = gjson.AppendJSONString(b, message)
	b = append(b, `,"type":`...)
	b = gjson.AppendJSONString(b, kind)
	b = append(b, `,"param":`...)
	b = appendNullable(b, param)
	b = append(b, `,"code":`...)
	b = appendNullable(b, code)
	b = append(b, "}}"...)
	return reply{status: status, kind: kindJSON, body: b, failed: true}
}

func appendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return gjson.AppendJSONString(dst, s)
}

// invalid is the model's refusal of a request.
func invalid(param, code, message string) reply {
	return modelError(http.StatusBadRequest, "invalid_request_error", param, code, message)
}

func (c *call) notFound() reply {
	switch c.target.service {
	case serviceOpenAI:
		return modelError(http.StatusNotFound, "invalid_request_error", "", "", "Invalid URL ("+c.r.Method+" "+c.r.URL.Path+")")
	case serviceSearch:
		return azureError(http.StatusNotFound, "", "The requested resource was not found.")
	}
	return azureError(http.StatusNotFound, "404", "Resource not found")
}

// unauthorized is the answer to a missing or wrong key, which it never repeats.
func (c *call) unauthorized() reply {
	h := c.r.Header
	missing := h.Get("Api-Key") == "" && h.Get("Authorization") == "" && h.Get("Ocp-Apim-Subscription-Key") == ""
	switch {
	case c.target.service == serviceOpenAI && missing:
		return modelError(http.StatusUnauthorized, "invalid_request_error", "", "",
			"You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
	case c.target.service == serviceOpenAI:
		return modelError(http.StatusUnauthorized, "invalid_request_error", "", "invalid_api_key",
			"Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.")
	case c.target.service == serviceTranslator:
		return translatorError(http.StatusUnauthorized, 401000, "The request is not authorized because credentials are missing or invalid.")
	case c.target.service == serviceAzure && missing:
		return azureError(http.StatusUnauthorized, "401",
			"Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or have expired.")
	}
	return azureError(http.StatusUnauthorized, "401", "Access denied due to invalid subscription key or wrong API endpoint. "+
		"Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.")
}

// faultStatus is the error that a status= fault asks for. It has no retry-after but the fault's own.
func (c *call) faultStatus() reply {
	status := c.plan.status
	if c.target.service == serviceTranslator {
		return translatorError(status, status*1000, "Simulated fault.")
	}
	if c.target.service == serviceOpenAI {
		return modelError(status, "server_error", "", "", http.StatusText(status)+": simulated fault.")
	}
	switch status {
	case http.StatusInternalServerError:
		return azureError(status, "InternalServerError", "The server had an error while processing your request. Simulated fault.")
	case http.StatusServiceUnavailable:
		return azureError(status, "ServiceUnavailable", "The service is temporarily unable to process your request. Please try again later. Simulated fault.")
	}
	return azureError(status, strconv.Itoa(status), http.StatusText(status)+". Simulated fault.")
}

// badJSON checks the content type and that the body is a JSON object, as the service words its refusal.
func (c *call) badJSON() (reply, bool) {
	if kind := c.r.Header.Get("Content-Type"); kind != "" && !isJSON(kind) {
		return invalid("", "unsupported_content_type", "Unsupported content type: '"+kind+"'. This API method only accepts 'application/json' requests."), true
	}
	if valid(c.body) && gjson.ParseBytes(c.body).IsObject() {
		return reply{}, false
	}
	return invalid("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "+
		"correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"), true
}
