package azure

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

const (
	testKey  = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
	testName = "Microsoft.ApplicationInsights.0f1e2d3c4b5a69788796a5b4c3d2e1f0."
)

// begin is when the exchanges of tests begin.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 123456700, time.UTC)

// standIn is a local stand-in of the ingestion endpoint. It checks every post
// and every envelope against the published schema.
type standIn struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	items []envelope // accepted
	posts []int      // items of each post
	paths []string
	// reply answers a post instead of 200, unless it returns false. It has the
	// envelopes.
	reply func(w http.ResponseWriter, r *http.Request, items []envelope) bool
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	in := &standIn{t: t}
	in.server = httptest.NewTLSServer(in)
	t.Cleanup(in.server.Close)
	return in
}

func (in *standIn) connection() string {
	return "InstrumentationKey=" + testKey + ";IngestionEndpoint=" + in.server.URL + "/"
}

// open returns a Sink that sends to the stand-in.
func (in *standIn) open(o Options) *Sink {
	in.t.Helper()
	o.ConnectionString, o.Client = in.connection(), in.server.Client()
	return opened(in.t, o)
}

func opened(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (in *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.paths = append(in.paths, r.URL.Path)
	if r.Method != http.MethodPost || r.URL.Path != "/v2.1/track" || r.URL.RawQuery != "" {
		in.t.Errorf("got %s %s", r.Method, r.URL)
	}
	if got := r.Header.Get("Content-Type"); got != "application/x-json-stream" {
		in.t.Errorf("got content type %q", got)
	}
	if got := r.Header.Get("Content-Encoding"); got != "gzip" {
		in.t.Errorf("got content encoding %q", got)
	}
	items := in.read(r.Body)
	in.posts = append(in.posts, len(items))
	if in.reply != nil && in.reply(w, r, items) {
		return
	}
	in.items = append(in.items, items...)
	fmt.Fprintf(w, `{"itemsReceived":%d,"itemsAccepted":%[1]d,"errors":[]}`, len(items))
}

// read unpacks and checks a post.
func (in *standIn) read(body io.Reader) []envelope {
	zip, err := gzip.NewReader(body)
	if err != nil {
		in.t.Errorf("body: %v", err)
		return nil
	}
	raw, err := io.ReadAll(zip)
	if err != nil {
		in.t.Errorf("body: %v", err)
	}
	if len(raw) > postBytes {
		in.t.Errorf("got a post of %d bytes", len(raw))
	}
	var items []envelope
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		items = append(items, in.check(lines.Bytes()))
	}
	if len(items) == 0 || len(items) > itemsMost {
		in.t.Errorf("got a post of %d items", len(items))
	}
	return items
}

// envelope and what is in it have the members that we send; strict decoding
// refuses all others.
type envelope struct {
	Ver  int
	Name string
	Time string
	IKey string
	Tags map[string]string
	// SampleRate is a percentage; nil means 100.
	SampleRate *float64
	Data       struct {
		BaseType string
		BaseData json.RawMessage
	}

	request    requestData
	dependency dependencyData
	exception  exceptionData
	metric     metricData
}

type common struct {
	Ver          int
	Properties   map[string]string
	Measurements map[string]float64
}

type requestData struct {
	common
	ID, Name, Duration, ResponseCode, URL string
	Success                               *bool
}

type dependencyData struct {
	common
	ID, Name, Duration, ResultCode, Data, Type, Target string
	Success                                            *bool
}

type exceptionData struct {
	common
	Exceptions []struct {
		TypeName, Message string
		HasFullStack      *bool
		ParsedStack       []struct {
			Level            *int
			Method, Assembly string
		}
	}
	SeverityLevel, ProblemID string
}

type metricData struct {
	common
	Metrics []struct {
		NS, Name, Kind         string
		Value, Count, Min, Max *float64
	}
}

var (
	durationForm = regexp.MustCompile(`^\d{1,3}\.[0-2]\d:[0-5]\d:[0-5]\d\.\d{7}$`)
	timeForm     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$`)
	spanForm     = regexp.MustCompile(`^[0-9a-f]{16}$`)
	traceForm    = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// tagLengths are those of ContextTagKeys in the schema.
var tagLengths = map[string]int{
	"ai.cloud.role": 256, "ai.cloud.roleInstance": 256, "ai.application.ver": 1024, "ai.internal.sdkVersion": 64,
	"ai.operation.id": 128, "ai.operation.parentId": 128, "ai.operation.name": 1024,
}

// members are the names that the schema has, which are in one case only.
var members = []string{
	"ver", "name", "time", "sampleRate", "iKey", "tags", "data", "baseType", "baseData", "properties", "measurements",
	"id", "duration", "responseCode", "success", "url", "resultCode", "type", "target",
	"exceptions", "typeName", "message", "hasFullStack", "parsedStack", "level", "method", "assembly", "severityLevel", "problemId",
	"metrics", "ns", "kind", "value", "count", "min", "max",
}

// strict decodes what has no other members than into, and none twice.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	return named(json.NewDecoder(bytes.NewReader(raw)), true)
}

// named checks the names of a value's members; those of properties,
// measurements and tags are free.
func named(d *json.Decoder, bound bool) error {
	start, err := d.Token()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() && (start == json.Delim('{') || start == json.Delim('[')) {
		free := false
		if start == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return err
			}
			key := name.(string)
			if seen[key] || bound && !slices.Contains(members, key) {
				return fmt.Errorf("member %q is unknown or there twice", key)
			}
			seen[key] = true
			free = slices.Contains([]string{"properties", "measurements", "tags"}, key)
		}
		if err := named(d, bound && !free); err != nil {
			return err
		}
	}
	if start == json.Delim('{') || start == json.Delim('[') {
		_, err = d.Token()
	}
	return err
}

// check validates one line against the schema.
func (in *standIn) check(raw []byte) (e envelope) {
	bad := func(format string, args ...any) { in.t.Errorf("%s\nin %s", fmt.Sprintf(format, args...), raw) }
	within := func(what, s string, most int) {
		if len(utf16.Encode([]rune(s))) > most {
			bad("%s has more than %d characters", what, most)
		}
		if strings.ContainsRune(s, 0) {
			bad("%s has a NUL", what)
		}
	}
	needed := func(what, s string, most int) {
		if s == "" {
			bad("%s is missing", what)
		}
		within(what, s, most)
	}
	form := func(what, s string, of *regexp.Regexp) {
		if !of.MatchString(s) {
			bad("%s has the form %q", what, s)
		}
	}
	if len(raw) > 64<<10 {
		bad("item of %d bytes", len(raw))
	}
	if err := strict(raw, &e); err != nil {
		bad("%v", err)
		return e
	}
	if e.Ver != 1 || e.IKey != testKey || e.Name != testName+strings.TrimSuffix(e.Data.BaseType, "Data") &&
		e.Data.BaseType != "RemoteDependencyData" || e.Data.BaseType == "RemoteDependencyData" && e.Name != testName+"RemoteDependency" {
		bad("ver %d, key %s, name %s", e.Ver, e.IKey, e.Name)
	}
	form("time", e.Time, timeForm)
	if r := e.SampleRate; r != nil && (!(*r > 0 && *r < 100) || e.Data.BaseType == "MetricData") {
		bad("a sample rate of %v of %s", *r, e.Data.BaseType)
	}
	for _, tag := range []string{"ai.cloud.role", "ai.internal.sdkVersion"} {
		needed(tag, e.Tags[tag], tagLengths[tag])
	}
	for tag, value := range e.Tags {
		if tagLengths[tag] == 0 {
			bad("unknown tag %s", tag)
		}
		needed(tag, value, tagLengths[tag])
	}

	var data *common
	switch e.Data.BaseType {
	case "RequestData":
		d := &e.request
		if err := strict(e.Data.BaseData, d); err != nil {
			bad("%v", err)
		}
		data = &d.common
		form("id", d.ID, spanForm)
		form("duration", d.Duration, durationForm)
		needed("name", d.Name, 1024)
		needed("responseCode", d.ResponseCode, 1024)
		within("url", d.URL, 2048)
		if d.Success == nil || e.Tags["ai.operation.name"] != d.Name {
			bad("no success, or another name")
		}
	case "RemoteDependencyData":
		d := &e.dependency
		if err := strict(e.Data.BaseData, d); err != nil {
			bad("%v", err)
		}
		data = &d.common
		form("id", d.ID, spanForm)
		form("duration", d.Duration, durationForm)
		needed("name", d.Name, 1024)
		needed("type", d.Type, 1024)
		needed("target", d.Target, 1024)
		within("resultCode", d.ResultCode, 1024)
		within("data", d.Data, 8192)
		if d.Success == nil {
			bad("no success")
		}
	case "ExceptionData":
		d := &e.exception
		if err := strict(e.Data.BaseData, d); err != nil {
			bad("%v", err)
		}
		data = &d.common
		if len(d.Exceptions) != 1 || len(d.Exceptions[0].ParsedStack) != 1 {
			bad("not one exception with one frame")
			break
		}
		it := d.Exceptions[0]
		needed("typeName", it.TypeName, 1024)
		needed("message", it.Message, 32768)
		needed("method", it.ParsedStack[0].Method, 1024)
		needed("problemId", d.ProblemID, 1024)
		if it.ParsedStack[0].Level == nil || it.HasFullStack == nil ||
			!slices.Contains([]string{"Verbose", "Information", "Warning", "Error", "Critical"}, d.SeverityLevel) {
			bad("no level, no hasFullStack, or severity %q", d.SeverityLevel)
		}
	case "MetricData":
		d := &e.metric
		if err := strict(e.Data.BaseData, d); err != nil {
			bad("%v", err)
		}
		data = &d.common
		if len(d.Metrics) != 1 {
			bad("%d metrics, of which the service takes the first", len(d.Metrics))
			break
		}
		m := d.Metrics[0]
		needed("name", m.Name, 1024)
		within("ns", m.NS, 256)
		if m.Kind != "Aggregation" || m.Value == nil || m.Count == nil || m.Min == nil || m.Max == nil {
			bad("not a whole aggregation")
		}
	default:
		bad("base type %q", e.Data.BaseType)
		return e
	}
	if e.Data.BaseType != "MetricData" {
		form("operation", e.Tags["ai.operation.id"], traceForm)
	} else if data.Measurements != nil {
		bad("a metric with measurements")
	}
	if data.Ver != 2 {
		bad("schema version %d", data.Ver)
	}
	if len(data.Measurements) > 0 && len(data.Properties) == 0 {
		bad("no properties")
	}
	for key, value := range data.Properties {
		within("name of property", key, 150)
		needed(key, value, 8192)
	}
	return e
}

// represented is how many items the service takes an accepted one for.
func (e *envelope) represented() float64 {
	if e.SampleRate == nil {
		return 1
	}
	return math.Round(100 / *e.SampleRate)
}

// of returns what was accepted of a type.
func (in *standIn) of(kind string) []envelope {
	in.mu.Lock()
	defer in.mu.Unlock()
	var found []envelope
	for _, e := range in.items {
		if e.Data.BaseType == kind {
			found = append(found, e)
		}
	}
	return found
}
