package gateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"aigateway/limit"
)

// inbound is what a client sent, as far as it has been read.
type inbound struct {
	app       *App
	operation string // from the path, then settled by operation
	byModel   bool   // the body's model named the application
	thread    string // the conversation that x-thread-id names; empty when none
	prefer    string // id of the endpoint to be asked first; empty when none
	// wantsWhole: the answer is held whole, as far as it can be, because it is
	// to be stored.
	wantsWhole bool
	// reserved is what the limits were asked for; grant is what they gave, nil
	// when there are none.
	reserved  reserve
	grant     *limit.Grant
	lost      int64      // prompt tokens of answers that broke off before any of them was sent
	accounted bool       // account was called
	answers   int64      // that the request asks for; 0 is one
	among     []string   // ids of the endpoints that the tenant is pinned to; nil is any
	departure *departure // nil when the client's leaving ends the call
	kept      *kept      // what is stored of the exchange; nil when nothing is
	body      []byte     // whole, once read; nil while a form waits to be streamed
	begun     bool       // read was called

	contentType string // as sent
	kind        string // its media type
	// stream is a form that is not held in memory, length its size, -1 when
	// unknown.
	stream *counting
	length int64
}

const (
	// eagerBody is the largest announced body that gets its whole buffer at
	// once; a longer one gets it as its bytes come, so that announcing much and
	// sending nothing costs the sender, not the gateway.
	eagerBody = 1 << 20
	// heldForm is the largest form that is read whole before it is sent, so
	// that another endpoint can be tried with it.
	heldForm = 1 << 20
	// slack is room behind a body, so that a member can be added in place.
	slack = 512
)

// form reports whether the body is a form or a file, not JSON.
func (in *inbound) form() bool { return isForm(in.kind) }

// mediaType is a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	if contentType == "application/json" {
		return contentType
	}
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

func isForm(kind string) bool {
	return strings.HasPrefix(kind, "multipart/") || kind == "application/octet-stream" ||
		strings.HasPrefix(kind, "audio/") || strings.HasPrefix(kind, "image/")
}

// read reads the body: whole, unless it is a long form and hold is false. It
// may be called again, with another bound.
func (in *inbound) read(c *gin.Context, most int64, hold bool) error {
	r := c.Request
	if in.begun {
		if int64(len(in.body)) > most {
			return tooLarge(most)
		}
		return nil
	}
	in.begun = true
	in.contentType = r.Header.Get("Content-Type")
	in.kind = mediaType(in.contentType)
	if r.ContentLength > most {
		return tooLarge(most)
	}
	encoding := r.Header.Get("Content-Encoding")
	long := r.ContentLength < 0 || r.ContentLength > heldForm
	if in.form() && long && encoding == "" && !hold && !in.app.readsModel && in.app.AppType.Inference() {
		in.stream, in.length = &counting{r: r.Body, left: most, err: tooLarge(most), whole: func() { untimed(c) }}, r.ContentLength
		return nil
	}
	from := io.Reader(r.Body)
	size := r.ContentLength
	switch encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return badEncoding(encoding)
		}
		from, size = unzipped, -1
	default:
		return badEncoding(encoding)
	}
	var err error
	if in.body, err = readAll(from, size, most); err == nil && r.ContentLength != 0 {
		untimed(c)
	}
	return err
}

// untimed ends the time that the client has for its body.
func untimed(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{}) // a recorder has no deadlines
}

func badEncoding(encoding string) error {
	return &refusal{
		http.StatusUnsupportedMediaType, codeInvalidPayload,
		"The body's content-encoding " + shown(encoding, 20) + " cannot be read; send it plain or as gzip.", "",
	}
}

func tooLarge(most int64) error {
	return &refusal{
		http.StatusRequestEntityTooLarge, codeInvalidPayload,
		fmt.Sprintf("The body is longer than the %d bytes that this AI application takes.", most), "",
	}
}

// readAll reads a body of size bytes, -1 when that is not known, into one
// buffer.
func readAll(r io.Reader, size, most int64) ([]byte, error) {
	first := int64(4 << 10)
	if size >= 0 {
		first = min(size, eagerBody)
	}
	buf := newBuffer(int(first + slack))
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > most:
			return nil, tooLarge(most)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, unreadable(err)
		}
	}
}

// buffers are large bodies' memory. A chat that resends its history is
// hundreds of kilobytes; without them each would cost the collector that much.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// pooledBuffer is the smallest buffer that is kept for the next request.
const pooledBuffer = 16 << 10

// newBuffer returns an empty buffer with room for n bytes, to be given back by
// release when nothing refers to it any more.
func newBuffer(n int) []byte {
	if n < pooledBuffer {
		return make([]byte, 0, n)
	}
	kept := buffers.Get().(*[]byte)
	if cap(*kept) < n {
		return make([]byte, 0, n)
	}
	return (*kept)[:0]
}

// release gives the body's memory back. Nothing that was read from it may be
// used after that, save what was copied.
func (in *inbound) release() {
	if cap(in.body) >= pooledBuffer && cap(in.body) <= eagerBody+slack {
		kept := in.body[:0]
		buffers.Put(&kept)
	}
	in.body = nil
}

// unreadable says why a body could not be read to its end.
func unreadable(err error) error {
	var refused *refusal
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return &refusal{http.StatusRequestTimeout, codeInvalidPayload, "The body did not come in time.", ""}
	}
	return &refusal{http.StatusBadRequest, codeInvalidPayload, "The body broke off before its end.", ""}
}

// counting bounds and counts a body that is streamed on.
type counting struct {
	r    io.Reader
	n    int64
	left int64
	err  error // when more than left comes

	whole func() // called at the end of the body
}

func (r *counting) Read(p []byte) (int, error) {
	if r.left < 0 {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.n += int64(n)
	if r.left -= int64(n); r.left < 0 {
		return 0, r.err
	}
	if err == io.EOF {
		r.whole()
	}
	return n, err
}

// received is how many bytes of the body have been read.
func (in *inbound) received() int64 {
	if in.stream != nil {
		return in.stream.n
	}
	return int64(len(in.body))
}

// model returns the application that the body's model member names.
func (in *inbound) model() (string, error) {
	missing := &refusal{
		http.StatusBadRequest, codeInvalidPayload,
		"On this path the body's model names the AI application; it is missing.", "model",
	}
	if !in.form() {
		model := gjson.GetBytes(in.body, "model")
		if model.Type != gjson.String || model.Str == "" {
			return "", missing
		}
		return model.Str, nil
	}
	model, err := in.formModel()
	if err != nil {
		return "", err
	}
	if model == "" {
		return "", missing
	}
	return model, nil
}

// formModel returns the model field of a form that has been read, empty when
// it has none. Two of them are refused: whoever reads next might take the other.
func (in *inbound) formModel() (string, error) {
	model, found := "", false
	err := in.eachPart(func(part *multipart.Part) error {
		if part.FormName() != "model" {
			return nil
		}
		if found {
			return &refusal{http.StatusBadRequest, codeInvalidPayload, "The form has more than one model.", "model"}
		}
		value, err := io.ReadAll(io.LimitReader(part, 256))
		model, found = string(value), true
		return err
	})
	return model, err
}

// formFor returns the form with its model replaced, or nil to leave it.
func (in *inbound) formFor(model string) ([]byte, error) {
	if model == "" || in.body == nil || !strings.HasPrefix(in.kind, "multipart/") {
		return nil, nil
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	if err := form.SetBoundary(boundary(in.contentType)); err != nil {
		return nil, badForm
	}
	err := in.eachPart(func(part *multipart.Part) error {
		to, err := form.CreatePart(part.Header)
		if err != nil {
			return err
		}
		if part.FormName() == "model" {
			_, err = io.WriteString(to, model)
		} else {
			_, err = io.Copy(to, part)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := form.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// eachPart visits the parts of a form that has been read, as they are.
func (in *inbound) eachPart(visit func(*multipart.Part) error) error {
	if in.body == nil || !strings.HasPrefix(in.kind, "multipart/") {
		return nil
	}
	parts := multipart.NewReader(bytes.NewReader(in.body), boundary(in.contentType))
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badForm
		}
		if err := visit(part); err != nil {
			var refused *refusal
			if errors.As(err, &refused) {
				return refused
			}
			return badForm
		}
	}
}

func boundary(contentType string) string {
	_, params, _ := mime.ParseMediaType(contentType)
	return params["boundary"]
}

var badForm = &refusal{http.StatusBadRequest, codeInvalidPayload, "The body is not the form that its content-type says.", ""}
