package cache

import (
	"strings"
	"testing"
)

func TestWhatIsNotTheQuestionHasToBeEqual(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "a place to sleep")
	for _, body := range []string{
		strings.Replace(chat("dirty room"), `"m"`, `"n"`, 1),
		strings.Replace(chat("dirty room"), "be brief", "be verbose", 1),
		strings.Replace(chat("dirty room"), `{"role":"user"`, `{"role":"user","content":"wait"},{"role":"user"`, 1),
		strings.Replace(chat("dirty room"), `{"model"`, `{"temperature":0.1,"model"`, 1),
		strings.Replace(chat("dirty room"), `{"role":"user"`, `{"role":"user","content":"hello"},{"role":"assistant","content":"hi"},{"role":"user"`, 1),
		`{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"dirty room"}]}]}`,
	} {
		b.wantMiss(body, "miss")
	}
	if hit, _ := b.cache.Lookup(t.Context(), parse(t, chat("dormitory")), "completions", Asker{}, anyAge); hit != nil {
		t.Error("an answer of another operation is given")
	}
	if hit, _ := b.pool.For(Settings{App: "app", Deployments: []string{"other"}}).Lookup(t.Context(), parse(t, chat("dormitory")), "chat/completions", Asker{}, anyAge); hit != nil {
		t.Error("an answer of another deployment is given")
	}
}

func TestSettingsThatShapeNoAnswerKeepTheKeys(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Deployments = []string{"x", "y"} })
	b.learn(chat("dormitory"), "a place to sleep")
	b.cache = b.pool.For(Settings{App: "app", Deployments: []string{"y", "x", "y"}, Bound: 0.5, Term: "prompt", Guards: true})
	b.wantHit(chat("dormitory"), Exact, "a place to sleep")
}

func TestScopesDoNotCross(t *testing.T) {
	alice := Asker{Tenant: "t", Caller: "c", User: "u"}
	for _, c := range []struct {
		scope  Scope
		same   []Asker
		others []Asker
	}{
		{ScopeApp, []Asker{{}, {"x", "y", "z"}}, nil},
		{ScopeTenant, []Asker{{"t", "y", "z"}}, []Asker{{"x", "c", "u"}, {"", "c", "u"}}},
		{ScopeCaller, []Asker{{"t", "c", "z"}}, []Asker{{"t", "x", "u"}, {"t", "", "u"}, {"tc", "", "u"}}},
		{ScopeUser, []Asker{alice}, []Asker{{"t", "c", "x"}, {"t", "x", "u"}, {"x", "c", "u"}, {"t", "c", ""}, {"t", "", "cu"}}},
		{"unknown", nil, []Asker{alice}},
	} {
		t.Run(string(c.scope), func(t *testing.T) {
			b := newBench(t, func(s *Settings) { s.Scope = c.scope })
			ask := func(who Asker, question string) *Hit {
				hit, miss := b.cache.Lookup(t.Context(), parse(t, chat(question)), "chat/completions", who, anyAge)
				if hit == nil && who == alice {
					b.cache.Store(miss, "r", done(t, answerOf("a")), answerOf("a"), nil)
					b.flush()
				}
				return hit
			}
			ask(alice, "dormitory")
			for _, who := range c.same {
				if ask(who, "dormitory") == nil || ask(who, "dirty room") == nil {
					t.Errorf("%+v does not share %+v's answer", who, alice)
				}
			}
			for _, who := range c.others {
				if ask(who, "dormitory") != nil || ask(who, "dirty room") != nil {
					t.Errorf("%+v gets %+v's answer", who, alice)
				}
			}
		})
	}
}

func TestAskerUnknownToTheScopeBypasses(t *testing.T) {
	for scope, want := range map[Scope]string{ScopeTenant: "no-tenant", ScopeCaller: "no-caller", ScopeUser: "no-user"} {
		b := newBench(t, func(s *Settings) { s.Scope = scope })
		if miss := b.wantMiss(chat("q"), want); !miss.Bypass || miss.Storable() {
			t.Errorf("%s: %+v, want a bypass that stores nothing", scope, miss)
		}
	}
}
