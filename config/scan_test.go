package config

import (
	"strings"
	"testing"
)

func TestStringsAreDecoded(t *testing.T) {
	for in, want := range map[string]string{
		`"plain é 😀"`:           "plain é 😀",
		`"\"\\\/\b\f\n\r\t"`:    "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\u00E9"`:  "Aéé",
		`"\ud83d\ude00\u0000x"`: "😀\x00x",
		`""`:                    "",
		" \"\x7f\" ":            "\x7f",
	} {
		root, fault := scan([]byte(in))
		if fault != nil || root.kind != text || root.text != want {
			t.Errorf("%s: got %q, %v, want %q", in, root.text, fault, want)
		}
	}
}

func TestSyntaxFaultsHaveTheirPlace(t *testing.T) {
	for in, want := range map[string]string{
		"{\n  \"é\": tru\n}":           `line 2, column 8: saw 't', want a value`,
		"\ufeff{\r\n]":                 `line 2, column 1: saw ']', want a member's name in double quotes`,
		`{"a" 1}`:                      `line 1, column 6: saw '1', want a colon after the member's name`,
		`{"a":1 "b":2}`:                `line 1, column 8: saw '"', want a comma or } after the member`,
		`{"a":1,}`:                     `line 1, column 8: saw '}', want a member's name in double quotes`,
		`[1 2]`:                        `line 1, column 4: saw '2', want a comma or ] after the value`,
		`["a]`:                         `line 1, column 5: saw the end of the file, want a closing "`,
		`01`:                           `line 1, column 2: saw '1', want the end of the file after the configuration's object`,
		`-`:                            `line 1, column 2: saw the end of the file, want a digit`,
		`1.x`:                          `line 1, column 3: saw 'x', want a digit`,
		`1e+`:                          `line 1, column 4: saw the end of the file, want a digit`,
		`.5`:                           `line 1, column 1: saw '.', want a value`,
		`"\x"`:                         `line 1, column 3: saw 'x', want one of "\/bfnrtu after a backslash`,
		`"\u12g4"`:                     `line 1, column 6: saw 'g', want four hex digits after \u`,
		`"\ud83d\u12"`:                 `line 1, column 12: saw '"', want four hex digits after \u`,
		`"\ude00\ud83d"`:               `line 1, column 14: saw half a surrogate pair, want both halves, such as \ud83d\ude00`,
		"\"a\tb\"":                     `line 1, column 3: saw control character 0x09, want an escape such as \t or \u0009`,
		"\"\xc3\"":                     `line 1, column 2: saw byte 0xc3, want UTF-8 text`,
		"\xff":                         `line 1, column 1: saw byte 0xff, want UTF-8 text`,
		`'a'`:                          `line 1, column 1: saw '\'', want a value`,
		"# yaml":                       `line 1, column 1: saw '#', want a value (JSON has no comments; a member whose name begins with x- is ignored)`,
		strings.Repeat("[", 65):        `line 1, column 65: saw another level, want at most 64 levels of objects and arrays`,
		"{\"a\":\"" + "line\nbreak\"}": `line 1, column 11: saw a line break in a string, want a closing " or \n`,
	} {
		_, fault := scan([]byte(in))
		if fault == nil || fault.String() != want {
			t.Errorf("%q: got %v, want %s", in, fault, want)
		}
	}
}

func TestLongValuesAreShortenedInFaults(t *testing.T) {
	for _, s := range []string{strings.Repeat("x", 1000), strings.Repeat("é", 61), strings.Repeat("\x01", 61)} {
		got := quoteShort(s)
		if n := len([]rune(got)); n != maxSeen || !strings.HasSuffix(got, "…") {
			t.Errorf("%d characters of %d: %s", n, len(s), got)
		}
	}
	if got := quoteShort(strings.Repeat("x", maxSeen-2)); len(got) != maxSeen {
		t.Errorf("%s was shortened", got)
	}
}
