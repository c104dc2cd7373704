package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileVersionFollowsItsBytes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// A ConfigMap is a link to a link; an update replaces the first.
	write("1", "{}")
	write("2", "[]")
	link := filepath.Join(dir, "config.json")
	if err := os.Symlink("data", link); err != nil {
		t.Fatal(err)
	}
	versions := make(map[string]string)
	for _, target := range []string{"1", "2", "1"} {
		_ = os.Remove(filepath.Join(dir, "data"))
		if err := os.Symlink(target, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		data, version, err := File{link}.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if version != hash(data) || len(version) != 64 {
			t.Errorf("version %s is not the hash of %q", version, data)
		}
		versions[string(data)] = version
	}
	if len(versions) != 2 || versions["{}"] == versions["[]"] {
		t.Errorf("versions %v", versions)
	}
}

func TestFileErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.json")
	_, _, err := File{missing}.Read(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "API_GATEWAY_CONFIG_FILE") {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := (File{dir}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: %v", err)
	}

	large := filepath.Join(dir, "large.json")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (File{large}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("large: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := (File{large}).Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
