package backend

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"aigateway/config"
)

// Target is one endpoint made ready for calls: everything about it that can be
// computed once per configuration.
type Target struct {
	url       *url.URL
	asWritten bool
	operation string // what an as-written URI asks for, such as "chat/completions"
	model     string
	askUsage  bool
	key       []byte
	timeouts  config.Timeouts

	origin origin
	// requestURI is the target of an as-written call; fixed is the header that
	// every call to the endpoint carries, from Host to the credentials.
	requestURI string
	fixed      []byte
}

// origin is what connections are pooled by.
type origin struct {
	tls  bool
	addr string // host:port
	host string // for the certificate
}

// NewTarget prepares an endpoint of app.
func NewTarget(app *config.Application, ep *config.Endpoint) (*Target, error) {
	u, err := url.Parse(ep.URI)
	if err != nil {
		return nil, fmt.Errorf("reading the uri of endpoint %s of %s: not a URL", ep.ID, app.AppID)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	t := &Target{url: u, model: ep.Model, key: []byte(ep.APIKey.Reveal()), timeouts: app.Timeouts}
	t.origin = origin{tls: u.Scheme == "https", host: u.Hostname()}
	port := u.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[t.origin.tls]
	}
	t.origin.addr = net.JoinHostPort(t.origin.host, port)

	t.operation = operationOf(u.Path)
	t.asWritten = !app.AppType.Inference() && app.AppType != config.AzureTranslator || t.operation != ""
	t.requestURI = u.RequestURI()
	t.askUsage = app.AppType.Inference() && reportsStreamUsage(u)

	var b strings.Builder
	fmt.Fprintf(&b, "Host: %s\r\nUser-Agent: aigateway\r\n", u.Host)
	if name, value := credential(app.AppType, u, ep.APIKey.Reveal()); name != "" {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	t.fixed = []byte(b.String())
	return t, nil
}

// Model is what the body's model member becomes for this endpoint; empty
// leaves it.
func (t *Target) Model() string { return t.model }

// Host is the endpoint's host, with its port where the URI names one.
func (t *Target) Host() string { return t.url.Host }

// AskUsage reports whether the endpoint knows stream_options.include_usage.
func (t *Target) AskUsage() bool { return t.askUsage }

// Operation is what the endpoint's URI asks for, such as "chat/completions";
// empty when the URI is a base that the client's own operation is added to.
func (t *Target) Operation() string { return t.operation }

// operations are the inference calls of Azure OpenAI and OpenAI by the end of
// their path. A URI with one of these is called as written; any other is a
// base.
var operations = [...]string{
	"chat/completions", "completions", "embeddings", "responses", "moderations",
	"images/generations", "images/edits", "images/variations",
	"audio/transcriptions", "audio/translations", "audio/speech",
	"rerank", "score", "batches", "files", "realtime/sessions",
}

// IsOperation reports whether path is one of the operations that the gateway
// knows, written in any case.
func IsOperation(path string) bool { return strings.EqualFold(operationOf(path), path) && path != "" }

// operationOf returns the operation that a path ends with, or "".
func operationOf(path string) string {
	path = strings.ToLower(strings.Trim(path, "/"))
	for _, op := range operations {
		if path == op || strings.HasSuffix(path, "/"+op) {
			return op
		}
	}
	// Azure's on-your-data calls of 2023 had an operation of their own.
	if strings.HasSuffix(path, "/extensions/chat/completions") {
		return "chat/completions"
	}
	return ""
}

// firstStreamUsage is the api-version from which Azure OpenAI accepts
// stream_options; earlier ones refuse the request for it.
// https://learn.microsoft.com/azure/ai-services/openai/api-version-deprecation
const firstStreamUsage = "2024-09-01"

func reportsStreamUsage(u *url.URL) bool {
	version := u.Query().Get("api-version")
	if version == "" || version == "preview" || version == "latest" || version == "v1" {
		return true // the v1 API, or another server of OpenAI's format
	}
	return version >= firstStreamUsage
}

// azureHosts are the domains of Azure's AI services, whose OpenAI-compatible
// routes take the key as api-key.
var azureHosts = [...]string{".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net", ".openai.azure.us"}

// credential is the header that authenticates the gateway to an endpoint:
// contract sections 4 and 15.
func credential(kind config.AppType, u *url.URL, key string) (name, value string) {
	if key == "" {
		return "", ""
	}
	switch kind {
	case config.AzureLanguage, config.AzureTranslator, config.AzureContentSafety:
		return "Ocp-Apim-Subscription-Key", key
	case config.AzureSearch:
		return "api-key", key
	}
	host := strings.ToLower(u.Hostname())
	bearer := kind == config.OpenAI
	for _, domain := range azureHosts {
		if strings.HasSuffix(host, domain) {
			bearer = false
		}
	}
	if bearer || host == "api.openai.com" {
		return "Authorization", "Bearer " + key
	}
	return "api-key", key
}

// uri returns the request target for a call.
func (t *Target) uri(call *Call) string {
	if t.asWritten {
		return t.requestURI
	}
	u := *t.url
	if call.Path != "" {
		u = *t.url.JoinPath(call.Path)
	}
	if len(call.Query) > 0 {
		own := u.Query()
		for name, values := range call.Query {
			if _, fixed := own[name]; !fixed { // the configured query wins
				own[name] = values
			}
		}
		u.RawQuery = own.Encode()
	}
	return u.RequestURI()
}

// travels lists the client headers that an endpoint may need. Everything else
// stays: credentials, cookies, addresses, and whatever the gateway sets itself.
var travels = [...]string{
	"Accept", "Openai-Beta", "Ocp-Apim-Subscription-Region", "Accept-Language",
	"X-Ms-Client-Request-Id", "X-Ms-Oai-Image-Generation-Deployment",
	"X-Ms-Enable-Preview", "X-Clienttraceid", "Traceparent", "Tracestate",
}

// appendHead writes the request line and the header of a call.
func (t *Target) appendHead(b []byte, call *Call) []byte {
	method := call.Method
	if method == "" {
		method = http.MethodPost
	}
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, t.uri(call)...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, t.fixed...)
	for _, name := range travels {
		if name == "Traceparent" && call.Traceparent != "" {
			b = appendField(b, name, call.Traceparent)
			continue
		}
		for _, v := range call.Header[name] {
			b = appendField(b, name, v)
		}
	}
	if call.ContentType != "" {
		b = appendField(b, "Content-Type", call.ContentType)
	}
	switch {
	case call.Stream != nil && call.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case call.Stream != nil:
		b = appendLength(b, call.Length)
	case call.Body != nil || method == http.MethodPost:
		b = appendLength(b, int64(len(call.Body)))
	}
	return append(b, '\r', '\n')
}

// masked returns an error's body without the endpoint's key, which some
// services quote when they refuse it.
func (t *Target) masked(body []byte) []byte {
	const shortest = 6 // what is shorter is no secret, and may be a word
	if len(t.key) < shortest {
		return body
	}
	return bytes.ReplaceAll(body, t.key, []byte("***"))
}

// idleFor is how long an answer that has begun may be silent.
func (t *Target) idleFor() time.Duration { return t.timeouts.Idle.Duration() }
