package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is text that never shows: it prints, logs and marshals as "***", and
// as nothing when it is empty. Reveal is the only way to the text itself. It
// must not be the key of a map: encoding/json writes such keys as they are.
type Secret string

const hidden = "***"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***".
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString returns "***".
func (s Secret) GoString() string { return s.String() }

// Format writes "***" whatever the verb: %x and %q would otherwise show the text.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// MarshalText returns "***".
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns "***" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue returns "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// The prefixes of text that names a secret instead of holding it.
const (
	envPrefix  = "env:"
	filePrefix = "file:"
)

// maxSecret bounds a secret's file, in bytes: the longest credentials in use,
// certificates with their chains, are below 64 KiB.
const maxSecret = 64 << 10

// resolve returns the secret that text names, or text itself. When it cannot,
// want says what is missing.
func resolve(text string, lookupEnv func(string) (string, bool), readFile func(string) ([]byte, error)) (s Secret, want string) {
	if name, ok := strings.CutPrefix(text, envPrefix); ok {
		if name == "" {
			return "", "the name of an environment variable after env:"
		}
		value, ok := lookupEnv(name)
		if !ok {
			return "", "the environment variable " + shorten(name) + " to be set"
		}
		return Secret(value), ""
	}
	if path, ok := strings.CutPrefix(text, filePrefix); ok {
		if path == "" {
			return "", "a path after file:"
		}
		value, err := readFile(path)
		switch {
		case err != nil:
			return "", fmt.Sprintf("a readable file at %s (%v)", path, reason(err))
		case len(value) > maxSecret:
			return "", fmt.Sprintf("a file of at most %d bytes at %s", maxSecret, path)
		}
		return Secret(strings.TrimRight(string(value), "\r\n")), ""
	}
	return Secret(text), ""
}

// reason strips the operation and the path from a file error.
func reason(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// readSecretFile reads a file that holds a secret, one byte past the limit at most.
func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}
