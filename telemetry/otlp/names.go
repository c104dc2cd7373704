package otlp

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"aigateway/persist"
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
	return x.Operation
}

// known are the operations beside the convention's that metrics tell apart:
// paths are the clients' to choose.
var known = []string{
	"chat", "text_completion", "embeddings", "images/generations", "images/edits", "images/variations",
	"audio/speech", "audio/transcriptions", "audio/translations", "moderations", "rerank",
}

func operationLabel(operation string) string {
	if slices.Contains(known, operation) {
		return operation
	}
	return "other"
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

// providerOf is gen_ai.provider.name: what is not Azure's is OpenAI, or
// compatible with it.
func providerOf(address string) string {
	for _, azure := range []string{".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us", ".openai.azure.cn"} {
		if strings.HasSuffix(address, azure) {
			return "azure.ai.openai"
		}
	}
	return "openai"
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
