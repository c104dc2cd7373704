package tokens

import "strings"

// The figures of the cookbook's rule for functions that do not depend on the
// model.
const (
	properties    = 3  // the properties of a function
	property      = 3  // each of them
	values        = -3 // the list of values of a property
	value         = 3  // each of them
	functionsTail = 12 // behind all functions
)

// functions counts a list of tools or of functions.
func (p *prompt) functions(raw string) int {
	n := 0
	for tool := range elements(raw) {
		function := tool
		for _, name := range [...]string{"function", "custom"} {
			if f := member(tool, name); kindOf(f) == '{' {
				function = f
			}
		}
		n += p.describe(function)
	}
	if n > 0 {
		n += functionsTail
	}
	return n
}

// describe counts one function.
func (p *prompt) describe(raw string) int {
	var name, description, parameters string
	for key, v := range members(raw) {
		switch key {
		case "name":
			name = v
		case "description":
			description = v
		case "parameters":
			parameters = v
		}
	}
	return p.function + p.joined(name, description) + p.schema(parameters, 1)
}

// schema counts the properties of a schema and what else restricts a value.
func (p *prompt) schema(raw string, level int) int {
	if level > maxSchema {
		return p.plain(raw)
	}
	n := 0
	for key, v := range members(raw) {
		switch key {
		case "properties":
			some := false
			for name, schema := range members(v) {
				if !some {
					some = true
					n += properties
				}
				n += p.property(name, schema) + p.schema(schema, level+1)
			}
		case "items":
			n += p.schema(v, level+1)
		case "enum":
			list := 0
			for e := range elements(v) {
				list += value + p.plain(e)
			}
			n += max(0, values+list)
		case "anyOf", "oneOf", "allOf", "$defs", "definitions":
			n += p.plain(v)
		}
	}
	return n
}

// property counts the line of one property: its name, type and description.
func (p *prompt) property(name, schema string) int {
	var kind, description string
	for key, v := range members(schema) {
		switch key {
		case "type":
			kind = v
		case "description":
			description = v
		}
	}
	p.line = append(p.line[:0], name...)
	return property + p.rest(kind, description)
}

// joined counts strings as one text: first:second, without the last full stop.
func (p *prompt) joined(first, second string) int {
	p.line = appendText(p.line[:0], first)
	return p.rest(second)
}

// rest counts line with what else belongs to it, strings or other values.
func (p *prompt) rest(parts ...string) int {
	for _, part := range parts {
		p.line = append(p.line, ':')
		if kindOf(part) == '"' {
			p.line = appendText(p.line, part)
		} else {
			p.line = compact(p.line, part)
		}
	}
	return p.vocabulary.count(strings.TrimSuffix(view(p.line), "."))
}

// plain counts a value as it is written, a string as what it says.
func (p *prompt) plain(raw string) int {
	if kindOf(raw) == '"' {
		return p.string(raw)
	}
	p.line = compact(p.line[:0], raw)
	return p.vocabulary.count(view(p.line))
}

// format counts the schema that an answer must have.
func (p *prompt) format(raw string) int {
	n := 0
	for key, v := range members(raw) {
		switch key {
		case "name", "description", "schema":
			n += p.plain(v)
		}
	}
	return n
}
