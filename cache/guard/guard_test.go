package guard

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAgreePassesParaphrasesAndRefusesTraps(t *testing.T) {
	var paraphrases, traps, refused, passed int
	for _, p := range Pairs() {
		ok, reason := Agree(p.A, p.B)
		switch {
		case p.Trap && ok:
			passed++
			t.Logf("passes a trap (%s, %s): %q, %q", p.Language, p.Category, p.A, p.B)
		case !p.Trap && !ok:
			refused++
			t.Logf("refuses a paraphrase (%s) for %s: %q, %q", p.Language, reason, p.A, p.B)
		}
		if p.Trap {
			traps++
		} else {
			paraphrases++
		}
	}
	if refused*100 > paraphrases*3 {
		t.Errorf("refuses %d of %d paraphrases, want at most 3 %%", refused, paraphrases)
	}
	if passed*100 > traps*2 {
		t.Errorf("passes %d of %d traps, want at most 2 %%", passed, traps)
	}
}

func TestAgreeNamesTheReason(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"Can I bring two bags?", "May I take 2 bags?", ""},
		{"Is 10,000 enough?", "Is 10k enough?", ""},
		{"Is twenty-five enough?", "Is 25 enough?", ""},
		{"Are two hundred and five enough?", "Are 205 enough?", ""},
		{"Sind 10.000 Euro genug?", "Sind 10000 € genug?", ""},
		{"Faut-il quatre-vingt-dix euros ?", "Faut-il 90 € ?", ""},
		{"Is it not allowed to park here?", "Is it forbidden to park here?", ""},
		{"Is Spain larger than Italy?", "Is Italy smaller than Spain?", ""},
		{"The difference between Go and Rust", "The difference between Rust and Go", ""},
		{"Is 1.5 enough?", "Is 15 enough?", Numbers},
		{"Is card 4000123412341234 valid?", "Is card 4000123412341235 valid?", Numbers},
		{"Is 5 km far?", "Is 5 miles far?", Numbers},
		{"Is ٥ enough?", "Is 6 enough?", Numbers},
		{"The events of 3 May", "The events of 4 May", Dates},
		{"Call me at 5 pm", "Call me at 17:00", ""},
		{"Call me at 5 pm", "Call me at 5 am", Dates},
		{"Kommt der Zug um 17 Uhr an?", "Kommt der Zug um 5 Uhr an?", Dates},
		{"Foods that contain milk", "Foods that don't contain milk", Negation},
		{"Run it with --all", "Run it with --none", Code},
		{"Is Nokia Finnish?", "Is Volvo Finnish?", Names},
		{"Copy alpha to beta", "Copy beta to alpha", Order},
		{"What is the price of gold?", "What is the price of silver?", Subject},
		{"Where is the nearest shop, please?", "Wo ist der nächste Laden, bitte?", Language},
		{"short", "short " + strings.Repeat("and then much more ", 40), Length},
		{"", "something", Length},
		{strings.Repeat("a", most+1), strings.Repeat("a", most+2), Length},
	} {
		ok, reason := Agree(c.a, c.b)
		if reason != c.want || ok != (c.want == "") {
			t.Errorf("Agree(%.60q, %.60q) = %v, %q, want %q", c.a, c.b, ok, reason, c.want)
		}
	}
}

// sentences draws texts of words that the rules know, and of any others.
func sentences() *rapid.Generator[string] {
	var words []string
	for _, p := range Pairs() {
		words = append(append(words, strings.Fields(p.A)...), strings.Fields(p.B)...)
	}
	words = append(words, "", "(", "`", "\"", "'", "“", "-", "5", "1.000,50", "1/2/2024", "\xff", "İ", "\u0301", "½", "一百", "2024-01-01", "v1.2", "--", "$", "n't", "U.S.A.", "..")
	some := rapid.SliceOfN(rapid.SampledFrom(words), 0, 12)
	return rapid.OneOf(
		rapid.Map(some, func(w []string) string { return strings.Join(w, " ") }),
		rapid.Map(some, func(w []string) string { return strings.Join(w, "") }),
		rapid.String(),
	)
}

func TestAgreeIsSymmetric(t *testing.T) {
	texts := sentences()
	rapid.Check(t, func(t *rapid.T) {
		a, b := texts.Draw(t, "a"), texts.Draw(t, "b")
		requireSymmetric(t, a, b)
	})
	for _, p := range Pairs() {
		requireSymmetric(t, p.A, p.B)
	}
}

func requireSymmetric(t interface {
	Helper()
	Errorf(string, ...any)
}, a, b string,
) {
	t.Helper()
	ab, why := Agree(a, b)
	ba, reason := Agree(b, a)
	if ab != ba || why != reason {
		t.Errorf("Agree(%q, %q) = %v, %q, the other way round %v, %q", a, b, ab, why, ba, reason)
	}
}

// The comparison itself must find nothing between a text and its copy; a space
// keeps Agree from its short way.
func TestAgreeIsReflexive(t *testing.T) {
	texts := sentences()
	rapid.Check(t, func(t *rapid.T) {
		a := texts.Draw(t, "a")
		if ok, reason := Agree(a, a); !ok {
			t.Errorf("Agree(a, a) refuses %q for %s", a, reason)
		}
		if ok, reason := Agree(a, a+" "); !ok && len(a) < most {
			t.Errorf("Agree(a, a and a space) refuses %q for %s", a, reason)
		}
	})
}

func TestAgreeIgnoresFormsOfOneLetter(t *testing.T) {
	for _, c := range [][2]string{
		{"ｉＰｈｏｎｅ １５ の値段", "iphone 15 の値段"},
		{"Cafe\u0301 in Lyon", "Café in Lyon"},
		{"ﾊﾟｿｺﾝは何ですか", "パソコンは何ですか"},
	} {
		if ok, reason := Agree(c[0], c[1]); !ok {
			t.Errorf("Agree(%q, %q) refuses for %s", c[0], c[1], reason)
		}
	}
}

func FuzzAgree(f *testing.F) {
	for _, p := range Pairs() {
		f.Add(p.A, p.B)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		requireSymmetric(t, a, b)
		if ok, reason := Agree(a, a+"\n"); !ok && len(a) < most {
			t.Errorf("Agree refuses %q and itself for %s", a, reason)
		}
	})
}

func BenchmarkAgree(b *testing.B) {
	fill := func(s string) string { return strings.Repeat(s, most/len(s)) }
	for _, c := range []struct{ name, text string }{
		{"question", "How do I get from Paris to London on 5 May with two bags?"},
		{"prose", fill("How do I get from Paris to London on 5 May with two bags? ")},
		{"marks", fill("a,(")},
		{"digits", fill("1.")},
		{"numbers", fill("12 34 ")},
		{"hangul", fill("가")},
		{"han", fill("我")},
		{"quotes", fill("“a ")},
		{"initials", fill("a.")},
		{"negations", fill("not no ")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			other := c.text[:len(c.text)-1] + "z"
			for b.Loop() {
				Agree(c.text, other)
			}
		})
	}
}
