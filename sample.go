// Package aigateway holds the sample configuration, which the demo runs, and
// the tests of the whole tree's architecture.
package aigateway

import _ "embed"

//go:embed api-router-config.json
var sample string

// Sample returns the sample configuration file, api-router-config.json.
func Sample() []byte { return []byte(sample) }
