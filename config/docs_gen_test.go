package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// memberTables returns a table for each object of the configuration file.
func memberTables(t *testing.T) string {
	var b strings.Builder
	writeTable(&b, reflect.TypeFor[Config](), "", comments(t))
	return b.String()
}

func writeTable(b *strings.Builder, typ reflect.Type, path string, docs map[string]string) {
	title := "The file"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(b, "### %s\n\n| member | type | default | meaning | example |\n|---|---|---|---|---|\n", title)
	fields := describe(typ, docs)
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.name, typeText(f), defaultText(f), cell(f.doc), exampleText(f))
	}
	b.WriteByte('\n')
	for _, f := range fields {
		inner, suffix := f.typ, ""
		if inner.Kind() == reflect.Slice {
			inner, suffix = inner.Elem(), "[]"
		}
		if inner.Kind() == reflect.Struct && inner != intervalType {
			writeTable(b, inner, strings.TrimPrefix(path+"."+f.name+suffix, "."), docs)
		}
	}
}

func typeText(f describedField) string {
	switch k := f.typ.Kind(); {
	case f.typ == intervalType:
		return "interval"
	case f.typ == secretType:
		return "secret"
	case f.tag.Get("enum") != "":
		return "`" + strings.ReplaceAll(f.tag.Get("enum"), "|", "`, `") + "`"
	case k == reflect.Struct:
		return "object"
	case k == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct:
		return "array of objects"
	case k == reflect.Slice:
		return "array of strings"
	case k == reflect.String:
		return "string"
	}
	return strings.TrimPrefix(strings.TrimPrefix(wanted(f.typ.Kind(), f.tag), "a "), "an ")
}

func defaultText(f describedField) string {
	switch written := f.tag.Get("default"); {
	case f.tag.Get("required") != "":
		return "required"
	case written != "":
		value, _ := json.Marshal(defaultValue(f.typ, written))
		return "`" + string(value) + "`"
	}
	return f.tag.Get("absent")
}

func exampleText(f describedField) string {
	if example := f.tag.Get("example"); example != "" {
		return "`" + example + "`"
	}
	return ""
}

// cell escapes what would end a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// variableTable returns the table of environment variables.
func variableTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, v := range Variables() {
		value := "–"
		if v.Default != "" {
			value = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, value, cell(v.Meaning))
	}
	return b.String() + "\n"
}

// restartMembers returns the members that a reload does not change.
func restartMembers() string {
	var b strings.Builder
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for _, f := range describe(typ, nil) {
			at := strings.TrimPrefix(path+"."+f.name, ".")
			if f.tag.Get("restart") != "" {
				fmt.Fprintf(&b, "* `%s`\n", at)
			}
			if f.typ.Kind() == reflect.Struct && f.typ != intervalType {
				walk(f.typ, at)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return b.String() + "\n"
}

// withGenerated replaces what stands between a section's marks.
func withGenerated(t *testing.T, page, section, text string) string {
	t.Helper()
	begin, end := "<!-- begin "+section+": generated, go generate ./config -->\n", "<!-- end "+section+" -->"
	before, rest, found := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("docs/configuration.md has no section %q", section)
	}
	return before + begin + "\n" + text + end + after
}
