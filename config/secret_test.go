package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretNeverShows(t *testing.T) {
	const text = "sk-12345"
	type holder struct {
		Key  Secret
		Keys map[string]*Secret
		Any  any
	}
	s := Secret(text)
	h := holder{s, map[string]*Secret{"a": &s}, s}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%10s", "%.2s", "%T %v", "%!"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, []Secret{s}))
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	marshalled, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, string(data), string(marshalled), s.String(), s.GoString(), fmt.Sprint(s), fmt.Errorf("key %v", s).Error())
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("m", "key", s, "holder", h, "group", slog.GroupValue(slog.Any("key", s)))
		out = append(out, b.String())
	}
	for _, o := range out {
		if strings.Contains(o, text) || strings.Contains(strings.ToLower(o), fmt.Sprintf("%x", text)) || strings.Contains(o, "sk") {
			t.Errorf("shows the secret: %s", o)
		}
	}
	if s.String() != "***" || s.Reveal() != text {
		t.Errorf("prints %s, reveals %s", s, s.Reveal())
	}
}

func TestEmptySecretShowsAsNothing(t *testing.T) {
	data, err := json.Marshal(Secret(""))
	if got := fmt.Sprintf("[%v] [%#v] %s %v", Secret(""), Secret(""), data, err); got != `[] [] "" <nil>` {
		t.Errorf("got %s", got)
	}
}

func TestSecretFileIsReadOneByteBeyondTheLimitAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, make([]byte, 10*maxSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := readSecretFile(path)
	if err != nil || len(data) != maxSecret+1 {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}
