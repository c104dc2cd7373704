package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"
)

// inbound is what a client sent, as far as it has been read.
type inbound struct {
	app       *App
	operation string // from the path, then settled by operation
	byModel   bool   // the body's model named the application
	body      []byte // whole, once read; nil while a form waits to be streamed
	begun     bool   // read was called
	now       func() time.Time

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
func (in *inbound) read(c *gin.Context, most int64, within time.Duration, hold bool) error {
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
	if within > 0 && r.ContentLength != 0 {
		control := http.NewResponseController(c.Writer)
		if control.SetReadDeadline(in.now().Add(within)) == nil {
			defer control.SetReadDeadline(time.Time{})
		}
	}
	if in.form() && !hold && !in.app.readsModel && in.app.AppType.Inference() && (r.ContentLength < 0 || r.ContentLength > heldForm) {
		in.stream, in.length = &counting{r: r.Body, left: most, err: tooLarge(most)}, r.ContentLength
		return nil
	}
	from := io.Reader(r.Body)
	size := r.ContentLength
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
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
	in.body, err = readAll(from, size, most)
	return err
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
	from, to := formField(in.body, in.contentType, "model")
	if from == to {
		return "", missing
	}
	return string(in.body[from:to]), nil
}

// formField returns where the value of a form's field stands in its body; 0, 0
// when the form has no such field.
func formField(body []byte, contentType, name string) (from, to int) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" || body == nil {
		return 0, 0
	}
	boundary := []byte("\r\n--" + params["boundary"])
	at := bytes.Index(body, boundary[2:])
	for at >= 0 {
		part := at + len(boundary) - 2
		head := bytes.Index(body[part:], []byte("\r\n\r\n"))
		if head < 0 {
			return 0, 0
		}
		from = part + head + 4
		length := bytes.Index(body[from-2:], boundary) // an empty value's boundary begins with its header's last line end
		if length < 0 {
			return 0, 0
		}
		to = max(from, from-2+length)
		header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(body[part+2 : from]))).ReadMIMEHeader()
		if err == nil {
			if _, disposition, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && disposition["name"] == name {
				return from, to
			}
		}
		at = from - 2 + length + 2
	}
	return 0, 0
}

// formFor returns the form with its model replaced, or nil to leave it.
func (in *inbound) formFor(model string) []byte {
	from, to := formField(in.body, in.contentType, "model")
	if model == "" || to == 0 {
		return nil
	}
	return slices.Concat(in.body[:from], []byte(model), in.body[to:])
}
