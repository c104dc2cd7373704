package telemetry

import (
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// discreetMost is the length of an error's text in bytes: collectors may answer
// with pages.
const discreetMost = 300

// What errors name: addresses, and paths that stand alone, as answers quote
// them.
var (
	addresses = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>\\]*`)
	paths     = regexp.MustCompile(`(^|[^\w.:/<])/[^\s"'<>\\)]+`)
)

// Discreet returns err with a text that may be logged: one line, cut, and of
// addresses no more than scheme and host, as the rest may be a key. It wraps
// err, and is nil when that is.
func Discreet(err error) error {
	if err == nil {
		return nil
	}
	return discreet{err}
}

type discreet struct{ err error }

func (d discreet) Unwrap() error { return d.err }

func (d discreet) Error() string {
	s := d.err.Error()
	s = strings.ToValidUTF8(s[:min(len(s), 16*discreetMost)], "\uFFFD")
	s = addresses.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), host)
	s = paths.ReplaceAllString(s, "$1/...")
	if len(s) <= discreetMost {
		return s
	}
	n := discreetMost
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// host is an address without what is behind or before its host.
func host(address string) string {
	bare := strings.TrimRight(address, ":,.;)") // of the sentence around it
	u, err := url.Parse(bare)
	if err != nil {
		return "an address"
	}
	return u.Scheme + "://" + u.Host + address[len(bare):]
}
