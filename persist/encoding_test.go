package persist

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fill gives every field of a value something that is not its zero value.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(epoch))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(t, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString("<é\x01\">")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<40 + 7)
	case reflect.Uint8:
		v.SetUint('7')
	case reflect.Float64:
		v.SetFloat(0.1)
	default:
		t.Fatalf("a field of kind %s: say how it is filled", v.Kind())
	}
}

func TestEveryFieldSurvivesTheSpool(t *testing.T) {
	want := &Record{}
	fill(t, reflect.ValueOf(&want.Exchange).Elem())
	want.Ledger, want.NoHistory = true, true
	want.ID, want.Prompt, want.Completion = "id", json.RawMessage("1"), json.RawMessage("2") // Redactor has done its work, votes are counted when read
	b, err := appendRecord(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPromptAndCompletionKeepTheirBytes(t *testing.T) {
	blob := rapid.Custom(func(t *rapid.T) json.RawMessage {
		if rapid.Bool().Draw(t, "nil") {
			return nil
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
	})
	rapid.Check(t, func(t *rapid.T) {
		want := row(1)
		want.Prompt, want.Completion = blob.Draw(t, "prompt"), blob.Draw(t, "completion")
		b, err := appendRecord([]byte("before"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecord(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// A spool may have been written by an older version: what this one wrote has
// to stay readable.
func TestRecordsOfTheFirstEncodingAreRead(t *testing.T) {
	old := "\x01\x36" + `{"ID":"one","RequestID":"r","App":"a","Gone":[1,{}]}  ` + "\x03{}\x00"
	got, err := parseRecord([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	want := &Record{ID: "one", Exchange: Exchange{RequestID: "r", App: "a"}, Prompt: json.RawMessage(`{}`)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRecordThatJSONCannotHoldIsAnError(t *testing.T) {
	r := row(1)
	r.Start = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	if b, err := appendRecord([]byte("before"), r); err == nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := appendFrame([]byte("before"), r); err == nil || string(b) != "before" {
		t.Errorf("frame: %q, %v", b, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range []*Record{row(1), {}} {
		b, err := appendRecord(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := appendRecord(nil, r)
		if err != nil {
			t.Skip("a time that JSON reads but does not write")
		}
		r2, err := parseRecord(again)
		if err != nil || !bytes.Equal(r.Prompt, r2.Prompt) || !bytes.Equal(r.Completion, r2.Completion) || r.ID != r2.ID {
			t.Errorf("not the same when written and read again: %v", err)
		}
	})
}
