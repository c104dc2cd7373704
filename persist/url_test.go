package persist

import (
	"strings"
	"testing"
)

func TestPlainURLsHidesUsersAndQueries(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:hush@host/path?key=hush":           "https://host/path?***",
		"https://host:8443/path/@user/x":              "https://host:8443/path/@user/x",
		"https://host?key":                            "https://host?***",
		"https://hush@host":                           "https://host",
		"https://u:hu@sh@host#part":                   "https://host#part",
		"postgres://u:hush@host/db?sslmode=x#hush":    "postgres://host/db?***",
		"see https://host/a?k=hush and ask: ok?":      "see https://host/a?*** and ask: ok?",
		"https://host,https://u:hush@other/x?k=hush":  "https://host,https://other/x?***",
		"https://host/login?then=https://u:hush@else": "https://host/login?***",
		"https://host/?":                              "https://host/?",
		"https://host/?***":                           "https://host/?***",
		"u:pw@host, really? x@y":                      "u:pw@host, really? x@y",
		"://":                                         "://",
		"":                                            "",
	} {
		out, changed := plainURLs([]byte(in))
		if string(out) != want || changed != (in != want) {
			t.Errorf("%q became %q, %v; want %q", in, out, changed, want)
		}
	}
}

func FuzzPlainURLs(f *testing.F) {
	f.Add("https://u:p@h/p?q=1 x ://a@b?c")
	f.Fuzz(func(t *testing.T, in string) {
		once, _ := plainURLs([]byte(in))
		if twice, changed := plainURLs(once); changed {
			t.Errorf("%q became %q, and then %q", in, once, twice)
		}
		whole, _ := plainURLs([]byte(in + " https://u:hush-hush@h/p?k=hush-hush"))
		if strings.Contains(string(whole), "hush-hush") && !strings.Contains(in, "hush-hush") {
			t.Errorf("%q became %q", in, whole)
		}
	})
}
