package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestErrorsAreToldWithoutPaths(t *testing.T) {
	for give, want := range map[string]string{
		`failed to send to https://c.example:4318/key/v1/traces: 400 Bad Request`: "failed to send to https://c.example:4318: 400 Bad Request",
		`Post "http://u:key@c.example/key?k=key": EOF`:                            `Post "http://c.example": EOF`,
		`Post "http://[::1]:1/key/v1/metrics": dial tcp [::1]:1: refused`:         `Post "http://[::1]:1": dial tcp [::1]:1: refused`,
		`invalid proxy address "http://u:key@p:%zz"`:                              `invalid proxy address "an address"`,
		`404 Not Found (body: Cannot POST /key/v1/traces)`:                        "404 Not Found (body: Cannot POST /...)",
		`body: <pre>POST /key</pre> {"path":"/key","at":"https:\/\/c\/key"}`:      `body: <pre>POST /...</pre> {"path":"/...","at":"https:\/\/...\/..."}`,
		`text/html, 3/4, HTTP/1.1`:                                                "text/html, 3/4, HTTP/1.1",
		"no\xff\nroute":                                                           "no\uFFFD route",
	} {
		if got := Discreet(errors.New(give)).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDiscreetErrorsAreStillWhatTheyWrap(t *testing.T) {
	if Discreet(nil) != nil {
		t.Error("nothing is an error")
	}
	if err := Discreet(fmt.Errorf("sending: %w", context.DeadlineExceeded)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not the deadline", err)
	}
}

func TestDiscreetErrorsAreShortAndUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Repeat(rapid.String().Draw(t, "text")+string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")), rapid.IntRange(1, 200).Draw(t, "times"))
		if got := Discreet(errors.New(text)).Error(); len(got) > discreetMost || !utf8.ValidString(got) || strings.Contains(got, "\n") {
			t.Fatalf("got %d bytes: %q", len(got), got)
		}
	})
}
