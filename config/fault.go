package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Fault is one thing that is wrong with a configuration file or with the
// environment.
type Fault struct {
	// Path is where: applications[2].endpoints[0].rpm, the name of an
	// environment variable, or "line 3, column 7" of what is not JSON.
	Path string `json:"path"`
	// Seen is the value as written, shortened; never a secret.
	Seen string `json:"seen"`
	// Want is what would be right.
	Want string `json:"want"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%s: saw %s, want %s", f.Path, f.Seen, f.Want)
}

// Faults is everything that is wrong, in the order of the file.
type Faults []Fault

// Error gives one fault a line.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	return b.String()
}

// maxSeen is the most characters shown of a value: enough to find it again in
// the file, and a line stays a line.
const maxSeen = 60

// shorten cuts s to maxSeen characters.
func shorten(s string) string {
	if utf8.RuneCountInString(s) <= maxSeen {
		return s
	}
	return string([]rune(s)[:maxSeen-1]) + "…"
}

// quoteShort quotes s, so that spaces and control characters show, and shortens it.
func quoteShort(s string) string {
	if len(s) > 4*maxSeen { // quoting the rest would be work for nothing
		s = s[:4*maxSeen]
	}
	return shorten(fmt.Sprintf("%q", s))
}
