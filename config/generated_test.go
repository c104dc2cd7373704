package config

import (
	"flag"
	"os"
	"reflect"
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
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for _, f := range describe(typ, docs) {
			at := path + "." + f.name
			if f.doc == "" {
				t.Errorf("%s has no comment, which is its description for operators", at)
			}
			inner := f.typ
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner != intervalType {
				walk(inner, at)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}
