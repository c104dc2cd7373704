package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aigateway/openai"
)

// reference is the digest of a request without masks, by encoding/json.
func reference(body []byte) (Hash, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		return Hash{}, err
	}
	for _, name := range []string{
		"stream", "stream_options", "user", "metadata", "store", "safety_identifier",
		"prompt_cache_key", "prompt_cache_retention", "service_tier",
	} {
		delete(top, name)
	}
	form, err := referenceForm(top)
	if err != nil {
		return Hash{}, err
	}
	return Hash([]byte(form[1:])), nil
}

func referenceForm(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "n", nil
	case bool:
		return strconv.FormatBool(v)[:1], nil
	case string:
		if len(v) > 256 {
			sum := sha256.Sum256([]byte(v))
			return "L" + string(sum[:]), nil
		}
		return `"` + v + "\xFF", nil
	case json.Number:
		return referenceNumber(string(v))
	case []any:
		all := "["
		for _, e := range v {
			form, err := referenceForm(e)
			if err != nil {
				return "", err
			}
			all += form
		}
		return all + "]", nil
	case map[string]any:
		var members []string
		for name, e := range v {
			form, err := referenceForm(e)
			if err != nil {
				return "", err
			}
			key, _ := referenceForm(name)
			members = append(members, key+form)
		}
		slices.Sort(members)
		sum := sha256.Sum256([]byte(strings.Join(members, "")))
		return "{" + string(sum[:]), nil
	}
	return "", fmt.Errorf("a %T", v)
}

var exponents = regexp.MustCompile(`[eE][+-]?[0-9]{3,}`)

func referenceNumber(s string) (string, error) {
	r := new(big.Rat)
	if exponents.MatchString(s) { // would take memory by its value
		return "", fmt.Errorf("%s is beyond the reference", s)
	}
	if _, ok := r.SetString(s); !ok {
		return "", fmt.Errorf("%s is beyond the reference", s)
	}
	if r.Sign() == 0 {
		return "#0\xFF", nil
	}
	shift := 0
	for !r.IsInt() {
		r.Mul(r, big.NewRat(10, 1))
		shift++
	}
	digits := r.Num().String()
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	point := len(digits) - shift
	return "#" + sign + strings.TrimRight(digits, "0") + "e" + strconv.Itoa(point) + "\xFF", nil
}

var surrogates = regexp.MustCompile(`(?i)\\ud[89a-f]`)

// FuzzCanonicalFormIsTheReferences compares with a slow form made from what
// encoding/json reads.
func FuzzCanonicalFormIsTheReferences(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1.50e1,"b":[null,true,{"c":"é😀\n"}],"stream":true}`,
		`{"":-0.0,"x":{"y":{"z":[{},[]]}},"\u0061b":120,"n":1}`,
		`{"a":"` + strings.Repeat("long ", 80) + `","b":"\n` + strings.Repeat("long ", 80) + `"}`,
		`{"a":0.00012,"b":1E+2,"c":10e-1,"d":-12.340}`, `{"a":"\ud83d\ude00 \ud800 \\\" \/"}`,
		`{"messages":[{"role":"user","content":"hi"}],"temperature":1e0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newCanon()
		c.request(body, nil) // whatever the bytes are, it ends
		r := readers.Get().(*reader)
		defer r.release()
		req, err := openai.ParseRequest(body)
		if err != nil {
			return
		}
		r.read(req)
		got, ok := c.request(body, nil)
		if !ok {
			t.Fatalf("a valid request has no form: %s", body)
		}
		want, err := reference(body)
		if err != nil || surrogates.Match(body) {
			return // encoding/json makes one character of all halves of pairs
		}
		if got != want {
			t.Errorf("%s\ndigest %x, by the reference %x", body, got, want)
		}
	})
}
