package postgres

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSplitKeepsEveryMessageInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roles := rapid.SliceOf(rapid.SampledFrom([]string{"system", "user", "assistant", "tool", ""})).Draw(t, "roles")
		var messages []json.RawMessage
		for i, role := range roles {
			messages = append(messages, json.RawMessage(fmt.Sprintf(`{ "role":%q,"content":"%d \u0000"}`, role, i)))
		}
		var joined []json.RawMessage
		parts := split([]byte(encodeTurn(messages)))
		for i, part := range parts {
			var turn turnContext
			if err := json.Unmarshal([]byte(part), &turn); err != nil {
				t.Fatal(err)
			}
			at := len(joined)
			joined = append(joined, turn.Content...)
			if i > 0 && (roles[at] != "user" || roles[at-1] == "user") {
				t.Errorf("part %d begins with %q after %q", i, roles[at], roles[at-1])
			}
			asked := false // a second question would be an interaction of its own
			for j := at; j < len(joined); j++ {
				if roles[j] == "user" && asked && roles[j-1] != "user" {
					t.Errorf("part %d holds two questions: %v", i, roles[at:len(joined)])
				}
				asked = asked || roles[j] == "user"
			}
		}
		if diff := cmp.Diff(messages, joined); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}
