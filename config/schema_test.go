package config

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// beyondSchema are the bad files whose faults a JSON schema cannot express:
// what one member means for another, and what stands behind a reference.
var beyondSchema = []string{"tenant_series", "cache", "jwt_without_keys", "money", "references", "search_app"}

func TestSchemaAgreesWithParse(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(path string) error {
		data := bytes.TrimPrefix(read(t, path), []byte(bom))
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
	for _, path := range append(files(t, "testdata/good/*.json"), sample) {
		if err := check(path); err != nil {
			t.Errorf("%s is refused: %v", path, err)
		}
	}
	for _, path := range files(t, "testdata/bad/*.json") {
		name := filepath.Base(path[:len(path)-len(".json")])
		refused := check(path) != nil
		if refused == slices.Contains(beyondSchema, name) {
			t.Errorf("%s: refused by the schema: %v", path, refused)
		}
	}
}
