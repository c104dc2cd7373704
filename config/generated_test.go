package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite generated files and golden files")

const page = "../docs/configuration.md"

// The struct types are the one source of the schema and of the tables in the
// documentation.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	current := func(path, want string) {
		t.Helper()
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), want); diff != "" {
			t.Errorf("%s is not current, run go generate ./config (-is +should be):\n%s", path, diff)
		}
	}
	schema := string(makeSchema(t))
	current("schema.json", schema)
	current("../docs/config.schema.json", schema)

	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := withGenerated(t, string(text), "members", memberTables(t))
	want = withGenerated(t, want, "variables", variableTable())
	want = withGenerated(t, want, "restart", restartMembers())
	current(page, want)
}

func TestEveryMemberIsDescribed(t *testing.T) {
	docs := comments(t)
	for field, doc := range docs {
		if doc == "" && hasPrefixOf(field, "Config.", "Application.", "Endpoint.", "Caller.", "Server.", "CORS.", "TLS.",
			"CacheSettings.", "SearchContent.", "MemorySettings.", "Timeouts.", "Retry.") {
			t.Errorf("%s has no comment, which is its description for operators", field)
		}
	}
}

func hasPrefixOf(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
