package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"aigateway/telemetry"
)

const (
	// itemsMost and postBytes bound a post, before compression. The service
	// takes 64,000 items; those of Microsoft's SDKs have some hundred.
	itemsMost = 500
	postBytes = 1 << 20
	// postMost is how long a post may take.
	postMost = 10 * time.Second
	// redirectsMost is how many redirects are followed, as Microsoft's SDKs do.
	redirectsMost = 10
	// answerBytes is what is read of an answer: errors of itemsMost items.
	answerBytes = 1 << 20

	// restLeast and restMost bound the pause after a failure, which doubles with
	// each, and askedMost one that the service asks for: a new day's quota is
	// looked for each hour.
	restLeast = time.Second
	restMost  = 2 * time.Minute
	askedMost = time.Hour
)

// newClient returns a client that leaves redirects to us.
func newClient(given *http.Client) *http.Client {
	c := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: postMost,
	}}
	if given != nil {
		own := *given
		c = &own
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// answer is what the service said to a post.
type answer struct {
	status int
	wait   time.Duration // by its retry-after header; 0 when it has none
	body   []byte
}

// rejected is what has become of an item that was not taken.
type rejected struct{ Index, StatusCode int }

// rejectedIn reads the errors of an answer.
func rejectedIn(body []byte) (errs []rejected, ok bool) {
	var said struct{ Errors []rejected }
	ok = json.Unmarshal(body, &said) == nil
	return said.Errors, ok
}

// passing reports a status after which an item may be sent again.
func passing(status int) bool {
	switch status {
	case 408, 429, 439, 500, 502, 503, 504:
		return true
	}
	return false
}

// closed reports a status after which a whole post may be: beside those, what a
// day's quota (402), an operator (401, 403) or a proxy brings about.
func closed(status int) bool {
	return passing(status) || status >= 500 || slices.Contains([]int{401, 402, 403, 405}, status)
}

// drain posts what waits until nothing does. An error says why something still
// does.
func (s *Sink) drain(ctx context.Context) error {
	for len(s.backlog.items) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.post(ctx); err != nil {
			return err
		}
	}
	return nil
}

// post sends the oldest items and settles what becomes of them. An error means
// that it is not the time for the next post.
func (s *Sink) post(ctx context.Context) error {
	n := s.backlog.first(s.most, postBytes)
	a, err := s.track(ctx, s.pack(s.backlog.items[:n]))
	if err != nil {
		if ctx.Err() != nil { // whoever waits for us has no more time: not the service's fault
			return err
		}
		s.url = s.configured
		return s.rest(0, err)
	}
	switch {
	case a.status == http.StatusPartialContent:
		return s.settle(n, a)
	case a.status < 300:
		s.accepted(n)
		return nil
	case a.status == http.StatusRequestEntityTooLarge && n > 1:
		s.most = n / 2
		return nil
	case closed(a.status):
		return s.rest(a.wait, fmt.Errorf("status %d", a.status))
	}
	if a.status == http.StatusNotFound {
		s.url = s.configured
	}
	s.trouble = fmt.Sprintf("status %d", a.status)
	s.lose(s.backlog.take(n))
	return nil
}

// accepted settles a post that was taken.
func (s *Sink) accepted(n int) {
	s.backlog.take(n)
	s.failures, s.until = 0, time.Time{}
	s.most = min(2*s.most, itemsMost)
}

// settle sorts the items of a post that was taken in part.
func (s *Sink) settle(n int, a answer) error {
	items := s.backlog.take(n)
	errs, ok := rejectedIn(a.body)
	if !ok {
		// Sent again they would be there twice, as far as they were taken.
		s.trouble = "status 206 with an answer that cannot be read"
		s.lose(items)
		return nil
	}
	var again, lost []item
	seen := make([]bool, n)
	for _, e := range errs {
		switch {
		case e.Index < 0 || e.Index >= n || seen[e.Index]:
			continue
		case passing(e.StatusCode):
			again = append(again, items[e.Index])
		default:
			lost = append(lost, items[e.Index])
			s.trouble = fmt.Sprintf("status %d of an item", e.StatusCode)
		}
		seen[e.Index] = true
	}
	s.lose(lost)
	if len(again) == 0 {
		s.failures = 0
		return nil
	}
	s.backlog.back(again)
	return s.rest(a.wait, errors.New("status 206"))
}

// rest begins a pause: as long as the service asks for, else longer with each
// failure.
func (s *Sink) rest(asked time.Duration, why error) error {
	pause := min(asked, askedMost)
	if pause <= 0 {
		pause = min(restLeast<<min(s.failures, 10), restMost)
	}
	s.failures++
	s.until = s.now().Add(pause)
	s.trouble = why.Error()
	return why
}

// pack writes items as the body of a post.
func (s *Sink) pack(items []item) []byte {
	var b bytes.Buffer // the transport may read it after a post has ended
	s.zip.Reset(&b)
	for _, it := range items {
		_, _ = s.zip.Write(it.line) // to memory
		_, _ = s.zip.Write([]byte{'\n'})
	}
	_ = s.zip.Close()
	return b.Bytes()
}

// track posts, and goes where redirects lead, there at once the next time.
func (s *Sink) track(ctx context.Context, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, postMost)
	defer cancel()
	for range redirectsMost + 1 {
		a, location, err := s.once(ctx, body)
		if err != nil || location == "" {
			return a, err
		}
		to, err := url.Parse(location)
		if err != nil || to.Scheme != "https" || to.Host == "" || to.User != nil {
			return answer{}, errors.New("a redirect that does not lead to an https URL")
		}
		s.url = to.String()
	}
	return answer{}, fmt.Errorf("more than %d redirects", redirectsMost)
}

// once makes one call; location is where a redirect leads.
func (s *Sink) once(ctx context.Context, body []byte) (a answer, location string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, "", fmt.Errorf("making a post: %w", telemetry.Discreet(err))
	}
	req.Header.Set("Content-Type", "application/x-json-stream")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", s.agent)
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, "", telemetry.Discreet(err)
	}
	defer resp.Body.Close()
	// What cannot be read whole is no JSON, which only 206 needs.
	said, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	a = answer{status: resp.StatusCode, wait: s.waitOf(resp.Header.Get("Retry-After")), body: said}
	switch a.status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a, resp.Header.Get("Location"), nil
	}
	return a, "", nil
}

// waitOf reads a retry-after header: seconds, or a date.
func (s *Sink) waitOf(header string) time.Duration {
	if header = strings.TrimSpace(header); header == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return at.Sub(s.now())
}
