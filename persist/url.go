package persist

import "bytes"

// plainURLs takes the user information and what the queries say out of the URLs
// of a text: "https://u:pw@host/path?key=pw" becomes "https://host/path?***".
// A URL ends at white space. changed is false when there is nothing to take out.
func plainURLs(text []byte) (out []byte, changed bool) {
	kept := 0 // text up to here is in out
	cut := func(from, to int, mark string) {
		out = append(append(out, text[kept:from]...), mark...)
		kept = to
	}
	within := false // a URL, behind its authority
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] <= ' ':
			within = false
		case bytes.HasPrefix(text[i:], []byte("://")):
			within = true
			host := i + len("://")
			end := host + until(text[host:], func(c byte) bool { return c <= ' ' || c == '/' || c == '?' || c == '#' || c == '\\' })
			if at := bytes.LastIndexByte(text[host:end], '@'); at >= 0 {
				cut(host, host+at+1, "")
			}
			i = host - 1
		case within && text[i] == '?':
			end := i + until(text[i:], func(c byte) bool { return c <= ' ' })
			if query := string(text[i:end]); query != "?" && query != "?***" {
				cut(i, end, "?***")
			}
			i = end - 1
		}
	}
	if kept == 0 {
		return text, false
	}
	return append(out, text[kept:]...), true
}

// until returns where the first byte stands that ends something, the length
// when none does.
func until(text []byte, ends func(byte) bool) int {
	for i, c := range text {
		if ends(c) {
			return i
		}
	}
	return len(text)
}
