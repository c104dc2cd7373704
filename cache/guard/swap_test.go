package guard

import (
	"strings"
	"testing"
)

func TestAgreeRefusesThingsThatChangedPlaces(t *testing.T) {
	for _, c := range [][2]string{
		{"Does the lender owe the borrower?", "Does the borrower owe the lender?"},
		{"open port 80, close port 443", "close port 80, open port 443"},
		{"Delete all files except logs in the folder", "Delete logs except all files in the folder"},
		{"How much does A pay B when C defaults", "How much does B pay A when C defaults"},
		{"what is x squared times y", "what is y squared times x"},
		{"the cat chased the dog", "the dog chased the cat"},
		{"The cat chased the dog.", "the dog chased the cats"},
		{"Der Hund jagt die Katze", "Die Katze jagt der Hund"},
		{"who pays when " + strings.Repeat("very ", 55) + "old bulls chase cows", "who pays when cows chase " + strings.Repeat("very ", 55) + "old bulls"},
	} {
		if ok, reason := Agree(c[0], c[1]); ok || reason != Order {
			t.Errorf("Agree(%.60q, %.60q) = %v, %q, want %q", c[0], c[1], ok, reason, Order)
		}
		requireSymmetric(t, c[0], c[1])
	}
}

func TestAgreePassesThingsThatMayChangePlaces(t *testing.T) {
	for _, c := range [][2]string{
		{"cats and dogs", "dogs and cats"},
		{"black cats or white dogs", "white dogs or black cats"},
		{"What time do you open on Sunday?", "On Sunday, what time do you open?"},
		{"the cat chased the dog", "the cat chased the dog."},
		{"what is x + y", "what is y + x"},
		{"when " + strings.Repeat("very ", 65) + "old bulls chase cows", "when cows chase " + strings.Repeat("very ", 65) + "old bulls"}, // no opinion
		{"Morgen muss ich wieder arbeiten", "Ich muss morgen wieder arbeiten"},
	} {
		if ok, reason := Agree(c[0], c[1]); !ok {
			t.Errorf("Agree(%q, %q) refuses for %s", c[0], c[1], reason)
		}
	}
}
