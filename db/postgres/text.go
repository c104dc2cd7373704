package postgres

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// text makes a string one that a text column takes: it holds UTF-8, and no
// NUL. What is not becomes U+FFFD, when storing and when looking for it.
func text(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// document makes JSON text one that a json column takes, byte by byte as it
// came if it can be: escapes of NUL and of half surrogates are text to it. An
// empty one is NULL.
func document(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}
