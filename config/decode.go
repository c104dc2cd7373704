package config

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
)

// Parse reads a configuration file: JSON, checked, its defaults filled in, its
// secrets resolved from the environment and from files. An error is a Faults
// and holds every fault of the file, except that text which is not JSON has
// just one. Parse reads nothing else and changes nothing.
func Parse(data []byte) (*Config, error) {
	return ParseWith(data, os.LookupEnv, readSecretFile)
}

// ParseWith is Parse with other ways to resolve env:NAME and file:/path.
func ParseWith(data []byte, lookupEnv func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, error) {
	if len(data) > maxFile {
		return nil, Faults{{
			Path: "the file", Seen: strconv.Itoa(len(data)) + " bytes",
			Want: fmt.Sprintf("at most %d MiB", maxFile>>20),
		}}
	}
	root, fault := scan(data)
	if fault != nil {
		return nil, Faults{*fault}
	}
	d := decoder{lookupEnv: lookupEnv, readFile: readFile}
	doc := newDocument(root)
	config := &Config{Hash: hash(data)}
	d.value(doc.place(), reflect.ValueOf(config).Elem(), "")
	config.fill(doc.place())
	config.validate(doc.place())
	if err := doc.all(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(d.secrets)
	config.SecretsHash = hex.EncodeToString(sum[:])
	return config, nil
}

// decoder puts the file's values into the struct types.
type decoder struct {
	lookupEnv func(string) (string, bool)
	readFile  func(string) ([]byte, error)
	secrets   []byte // every resolved secret, with its length in front
}

// Types that are decoded in their own way.
var (
	secretType   = reflect.TypeFor[Secret]()
	intervalType = reflect.TypeFor[Interval]()
)

// value decodes what is at p into v. A member that is absent gets its default.
func (d *decoder) value(p *place, v reflect.Value, tag reflect.StructTag) {
	switch {
	case v.Type() == secretType:
		d.secret(p, v)
	case v.Type() == intervalType:
		d.interval(p, v, tag)
	case v.Kind() == reflect.Struct:
		d.object(p, v)
	case v.Kind() == reflect.Slice:
		d.list(p, v, tag)
	default:
		d.scalar(p, v, tag)
	}
}

// object decodes the members of a struct, those that are absent too, and
// notes those that it does not know.
func (d *decoder) object(p *place, v reflect.Value) {
	if p.node != nil && p.node.kind != object && (p.node.kind != null || p.parent == nil) {
		p.wrongKind("an object")
		return
	}
	names := memberNames(v.Type())
	if p.node != nil {
		checkMembers(p, names)
	}
	for i, n := range names {
		if n != nil {
			d.value(p.member(n...), v.Field(i), v.Type().Field(i).Tag)
		}
	}
}

// memberNames returns the names of each field's member, the usual one first;
// nil for a field that is no member.
func memberNames(t reflect.Type) [][]string {
	names := make([][]string, t.NumField())
	for i := range names {
		tag := t.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		names[i] = []string{name}
		if alias := tag.Get("alias"); alias != "" {
			names[i] = append(names[i], alias)
		}
	}
	return names
}

// checkMembers notes members that are unknown or given twice.
func checkMembers(p *place, names [][]string) {
	fields := make(map[string]int)
	for i, field := range names {
		for _, name := range field {
			fields[name] = i
		}
	}
	given := make(map[int]string) // the name that a field was given by
	for i := range p.node.members {
		m := &p.node.members[i]
		if strings.HasPrefix(m.name, "x-") {
			continue
		}
		at := &place{doc: p.doc, parent: p, path: join(p.path, m.name), offset: m.offset, node: &m.node}
		field, known := fields[m.name]
		if !known {
			// Its value is not shown: a key under a misspelt name is still a key.
			at.faultSeen(quoteShort(m.name), "a known member"+suggestion(m.name, fields))
			continue
		}
		switch before, twice := given[field]; {
		case twice && before == m.name:
			at.faultSeen("it a second time", "it once")
		case twice:
			at.faultSeen("it beside "+before, "one of the two")
		}
		given[field] = m.name
	}
}

func (d *decoder) list(p *place, v reflect.Value, tag reflect.StructTag) {
	if p.node == nil || p.node.kind == null {
		if value := tag.Get("default"); value != "" {
			v.Set(reflect.ValueOf([]string{value}))
		}
		return
	}
	if p.node.kind != array {
		p.wrongKind("an array")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(p.node.items), len(p.node.items)))
	for i := range p.node.items {
		item := p.item(i)
		if item.empty() && v.Index(i).Kind() != reflect.Struct {
			item.fault("a string that is not empty")
			continue
		}
		if item.node.kind == null {
			item.wrongKind("an object")
			continue
		}
		d.value(item, v.Index(i), "")
	}
}

func (d *decoder) secret(p *place, v reflect.Value) {
	if p.empty() {
		return
	}
	if p.node.kind != text {
		p.faultSeen(p.node.kind.name(), "a string that is a key, env:NAME or file:/path")
		return
	}
	s, want := resolve(p.node.text, d.lookupEnv, d.readFile)
	if want == "" && s == "" {
		want = "a secret that is not empty"
	}
	if want != "" {
		p.faultSeen(p.seenSecret(), want)
		return
	}
	d.secrets = binary.AppendUvarint(d.secrets, uint64(len(s)))
	d.secrets = append(d.secrets, s...)
	v.SetString(string(s))
}

// seenSecret returns what may be shown of a secret: where it comes from.
func (p *place) seenSecret() string {
	switch {
	case p.empty():
		return p.seen()
	case strings.HasPrefix(p.node.text, envPrefix), strings.HasPrefix(p.node.text, filePrefix):
		return shorten(p.node.text)
	}
	return "a secret"
}

func (d *decoder) interval(p *place, v reflect.Value, tag reflect.StructTag) {
	written := tag.Get("default")
	if !p.empty() {
		if p.node.kind != text {
			p.fault(`a string that is an interval, such as "2 minutes"`)
			return
		}
		written = p.node.text
	}
	if written == "" {
		return
	}
	interval, err := ParseInterval(written)
	if err != nil {
		p.fault(`an interval as PostgreSQL writes it, such as "2 minutes", "1 day 12:00" or "PT1H"`)
		return
	}
	v.Set(reflect.ValueOf(interval))
}

// scalar decodes a boolean, a number or a string.
func (d *decoder) scalar(p *place, v reflect.Value, tag reflect.StructTag) {
	k, written := v.Kind(), tag.Get("default")
	numeric := k == reflect.Int || k == reflect.Int64 || k == reflect.Float64
	if numeric && p.node != nil && p.node.kind == text {
		p.fault(wanted(k, tag)) // "" too: only words can be empty
		return
	}
	if !p.empty() {
		written = p.node.text
		// Strings "true" and "false" are the booleans they name.
		if ok := (k == reflect.Bool && p.node.kind == boolean) || (numeric && p.node.kind == number) ||
			(p.node.kind == text && !numeric); !ok {
			p.fault(wanted(k, tag))
			return
		}
	}
	if written != "" && !set(v, written, tag) {
		p.fault(wanted(k, tag))
	}
}

// set sets v to what is written and reports whether it may be that.
func set(v reflect.Value, written string, tag reflect.StructTag) bool {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(written == "true")
		return written == "true" || written == "false"
	case reflect.Int, reflect.Int64:
		n, ok := whole(written)
		if !ok || v.OverflowInt(n) || n < limit(tag, "min", math.MinInt64) || n > limit(tag, "max", math.MaxInt64) {
			return false
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(written, 64)
		if err != nil || tag.Get("above") != "" && f <= 0 ||
			f < bound(tag, "min", math.Inf(-1)) || f > bound(tag, "max", math.Inf(1)) {
			return false
		}
		v.SetFloat(f)
	case reflect.String:
		options := tag.Get("enum")
		if options == "" {
			v.SetString(written)
			return true
		}
		for option := range strings.SplitSeq(options, "|") {
			if option == written || tag.Get("fold") != "" && strings.EqualFold(option, written) {
				v.SetString(option)
				return true
			}
		}
		return false
	}
	return true
}

// whole reads a JSON number that has no fraction: 10, 10.0 and 1e1 are the same.
func whole(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	const exact = 1 << 53 // the last whole number that a float64 tells from the next
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact {
		return 0, false
	}
	return int64(f), true
}

// limit returns a tag's number.
func limit(tag reflect.StructTag, key string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(tag.Get(key), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// bound is limit for numbers that may have a fraction.
func bound(tag reflect.StructTag, key string, otherwise float64) float64 {
	if f, err := strconv.ParseFloat(tag.Get(key), 64); err == nil {
		return f
	}
	return otherwise
}

// wanted says what a member must be.
func wanted(k reflect.Kind, tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Float64 && tag.Get("above") != "" && most != "":
		return "a number above " + tag.Get("above") + ", at most " + most
	case k == reflect.Float64 && tag.Get("above") != "":
		return "a number above " + tag.Get("above")
	case k == reflect.Float64 && most != "":
		return "a number from " + least + " to " + most
	case k == reflect.Float64:
		return "a number"
	case k == reflect.String && tag.Get("enum") != "":
		return "one of " + strings.ReplaceAll(tag.Get("enum"), "|", ", ")
	case k == reflect.String:
		return "a string"
	case most != "":
		return "a whole number from " + least + " to " + most
	case least != "":
		return "a whole number, " + least + " or more"
	}
	return "a whole number"
}
