package router

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPriorityKeepsTheListsOrder(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 10), fleet) // all of one group
	want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	for range 3 {
		if diff := cmp.Diff(want, order(r.Plan(Facts{}))); diff != "" {
			t.Fatal(diff)
		}
	}
}
