package config

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// describedField is a struct field with all that is known of its member.
type describedField struct {
	name, doc string
	typ       reflect.Type
	tag       reflect.StructTag
}

// comments returns the doc comments of all struct fields in this package, by
// "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	docs := make(map[string]string)
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return docs
}

// describe returns the members of a struct type in order. Descriptions begin
// with what the comment says of the field after its name and verb.
func describe(typ reflect.Type, docs map[string]string) []describedField {
	var fields []describedField
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		doc := strings.TrimPrefix(docs[typ.Name()+"."+f.Name], f.Name+" ")
		doc = regexp.MustCompile(`^(is|are) `).ReplaceAllString(doc, "")
		if doc != "" {
			doc = string(unicode.ToUpper(rune(doc[0]))) + doc[1:]
		}
		fields = append(fields, describedField{name, doc, f.Type, f.Tag})
	}
	return fields
}

// ordered is a JSON object whose members keep their order.
type ordered []orderedMember

type orderedMember struct {
	name  string
	value any
}

func (o ordered) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// makeSchema returns the JSON schema of Config.
func makeSchema(t *testing.T) []byte {
	schema := ordered{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "Router configuration of the AI gateway"},
	}
	schema = append(schema, objectSchema(reflect.TypeFor[Config](), comments(t))...)
	out, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func objectSchema(typ reflect.Type, docs map[string]string) ordered {
	properties, required, both := ordered{}, []string{}, []ordered{}
	for _, f := range describe(typ, docs) {
		properties = append(properties, orderedMember{f.name, memberSchema(f, docs)})
		if alias := f.tag.Get("alias"); alias != "" {
			other := f
			other.doc = "The same as " + f.name + "."
			properties = append(properties, orderedMember{alias, memberSchema(other, docs)})
			both = append(both, ordered{{"required", []string{f.name, alias}}})
		}
		if f.tag.Get("required") != "" {
			required = append(required, f.name)
		}
	}
	o := ordered{
		{"type", "object"},
		{"properties", properties},
		{"patternProperties", ordered{{"^x-", true}}},
		{"additionalProperties", false},
	}
	if len(required) > 0 {
		o = append(o, orderedMember{"required", required})
	}
	if len(both) > 0 {
		o = append(o, orderedMember{"not", ordered{{"anyOf", both}}})
	}
	return o
}

// memberSchema returns a member's schema. What need not be there may be null,
// and a string empty.
func memberSchema(f describedField, docs map[string]string) ordered {
	required := f.tag.Get("required") != ""
	optional := func(kind string) any {
		if required {
			return kind
		}
		return []string{kind, "null"}
	}
	o := ordered{{"description", f.doc}}
	switch kind := f.typ.Kind(); {
	case f.typ == intervalType:
		o = append(o, orderedMember{"type", optional("string")})
	case kind == reflect.Struct:
		object := objectSchema(f.typ, docs)
		object[0].value = optional("object")
		o = append(o, object...)
	case kind == reflect.Slice:
		o = append(o, orderedMember{"type", optional("array")})
		if f.typ.Elem().Kind() == reflect.Struct {
			o = append(o, orderedMember{"items", objectSchema(f.typ.Elem(), docs)})
		} else {
			o = append(o, orderedMember{"items", ordered{{"type", "string"}, {"minLength", 1}}})
		}
		if required {
			o = append(o, orderedMember{"minItems", 1})
		}
	case kind == reflect.Bool:
		o = append(o, orderedMember{"enum", []any{true, false, "true", "false", "", nil}})
	case kind == reflect.String && f.tag.Get("enum") != "" && f.tag.Get("fold") != "":
		o = append(o, orderedMember{"type", optional("string")}, orderedMember{"pattern", foldPattern(f.tag.Get("enum"))})
	case kind == reflect.String && f.tag.Get("enum") != "":
		options := []any{}
		for option := range strings.SplitSeq(f.tag.Get("enum"), "|") {
			options = append(options, option)
		}
		if !required {
			options = append(options, "", nil)
		}
		o = append(o, orderedMember{"enum", options})
	case kind == reflect.String:
		o = append(o, orderedMember{"type", optional("string")})
		if required {
			o = append(o, orderedMember{"minLength", 1})
		}
		if f.name == "uri" {
			o = append(o, orderedMember{"pattern", "^[hH][tT][tT][pP][sS]?://"})
		}
	default:
		word := map[bool]string{true: "number", false: "integer"}[kind == reflect.Float64]
		o = append(o, orderedMember{"type", optional(word)})
		if n := f.tag.Get("min"); n != "" {
			o = append(o, orderedMember{"minimum", json.Number(n)})
		}
		if n := f.tag.Get("max"); n != "" {
			o = append(o, orderedMember{"maximum", json.Number(n)})
		}
		if n := f.tag.Get("above"); n != "" {
			o = append(o, orderedMember{"exclusiveMinimum", json.Number(n)})
		}
	}
	if written := f.tag.Get("default"); written != "" {
		o = append(o, orderedMember{"default", defaultValue(f.typ, written)})
	}
	if example := f.tag.Get("example"); example != "" {
		o = append(o, orderedMember{"examples", []any{json.RawMessage(example)}})
	}
	return o
}

// defaultValue returns a default tag as the JSON value it stands for.
func defaultValue(typ reflect.Type, written string) any {
	switch k := typ.Kind(); {
	case typ == intervalType || k == reflect.String:
		return written
	case k == reflect.Slice:
		return []string{written}
	}
	return json.RawMessage(written)
}

// foldPattern returns an expression that matches the options in any case;
// JSON schema's expressions have no flag for that.
func foldPattern(options string) string {
	var b strings.Builder
	for _, c := range options {
		if lower, upper := unicode.ToLower(c), unicode.ToUpper(c); lower != upper {
			b.WriteString("[" + string(upper) + string(lower) + "]")
		} else {
			b.WriteRune(c)
		}
	}
	return "^(" + b.String() + ")?$"
}
