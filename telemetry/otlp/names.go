package otlp

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"aigateway/persist"
	"aigateway/telemetry"
)

// operationOf is gen_ai.operation.name: the convention's where it has one
// (the Responses API is chat), else the path of the call, such as
// images/generations. It is empty for what is no inference: the other Azure
// services.
func operationOf(x *persist.Exchange) string {
	switch x.Operation {
	case "chat", "responses":
		return "chat"
	case "completions":
		return "text_completion"
	case "other":
		return ""
	}
	return telemetry.Operation(x)
}

// apiOf is openai.api.type.
func apiOf(x *persist.Exchange) string {
	switch x.Operation {
	case "chat":
		return "chat_completions"
	case "responses":
		return "responses"
	}
	return ""
}

// providerOf is gen_ai.provider.name: by the application's kind, which knows
// Azure behind a proxy and a private name too, else by the endpoint's address.
// What is not Azure's is OpenAI, or compatible with it.
func providerOf(x *persist.Exchange, address string) string {
	const azure = "azure.ai.openai"
	if x.Trace != nil && x.Trace.System == "azure_oai" {
		return azure
	}
	for _, domain := range []string{".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us", ".openai.azure.cn"} {
		if strings.HasSuffix(address, domain) {
			return azure
		}
	}
	return "openai"
}

// outputOf is gen_ai.output.type: what kind of answer is asked for; empty when
// the request does not say. format is the JSON value of response_format, which
// of sound and pictures is another thing.
func outputOf(x *persist.Exchange, format string) string {
	switch {
	case strings.HasPrefix(x.Operation, "images/"):
		return "image"
	case x.Operation == "audio/speech":
		return "speech"
	case x.Operation != "chat" && x.Operation != "responses":
		return ""
	}
	switch gjson.Parse(format).Str {
	case "json_object", "json_schema":
		return "json"
	case "text":
		return "text"
	}
	return ""
}

// addressOf splits an endpoint's host:port; port is 0 when there is none.
func addressOf(host string) (address string, port int) {
	if address, digits, err := net.SplitHostPort(host); err == nil {
		if port, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return address, int(port)
		}
	}
	return host, 0
}

// faultOf is error.type of an attempt: what went wrong without a status, else
// the status; empty when nothing did.
func faultOf(x *persist.Exchange, i int) string {
	a := &x.Attempts[i]
	switch {
	case a.Fault != "":
		return a.Fault
	case a.Status >= 400:
		return strconv.Itoa(a.Status)
	case x.Cut && i == len(x.Attempts)-1:
		return "reset"
	}
	return ""
}

// failureOf is error.type of a request: our error code, else the status. By the
// convention for servers the mistakes of clients are none of it.
func failureOf(x *persist.Exchange) string {
	switch {
	case x.Status < 500 && !x.Cut:
		return ""
	case x.Code != "":
		return x.Code
	case x.Cut:
		return "cut"
	}
	return strconv.Itoa(x.Status)
}

// methods are those that http.request.method may be.
var methods = []string{"POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"}

func methodOf(t *persist.Trace) string {
	if slices.Contains(methods, t.Method) {
		return t.Method
	}
	return "_OTHER"
}
