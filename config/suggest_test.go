package config

import "testing"

func TestSuggestionIsTheNearestName(t *testing.T) {
	known := map[string]int{"apikey": 0, "apiKey": 0, "uri": 1, "rpm": 2, "searchType": 3, "entryExpiry": 4}
	for name, want := range map[string]string{
		"APIKEY": "apiKey", "api-key": "apiKey", "URL": "uri", "rmp": "rpm", "serachType": "searchType", "entryexpiry": "entryExpiry",
		"": "", "url2": "", "zzz": "", "xx": "", "apikeyapikeyapikey": "",
	} {
		got := suggestion(name, known)
		if want != "" {
			want = `; did you mean "` + want + `"?`
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
