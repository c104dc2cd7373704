package config

import _ "embed" // for schemaJSON

//go:embed schema.json
var schemaJSON string

// Schema returns the JSON schema (draft 2020-12) of the configuration file,
// made from the struct types. What it accepts may still be refused by Parse,
// which also knows what one member means for another.
func Schema() []byte { return []byte(schemaJSON) }
