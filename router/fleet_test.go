package router

import (
	"slices"
	"testing"
	"time"

	"aigateway/config"
)

func TestReloadKeepsWhatWasLearnt(t *testing.T) {
	type reload func(*config.Application)
	for _, c := range []struct {
		name  string
		do    reload
		known bool
	}{
		{"nothing changed", func(*config.Application) {}, true},
		{"another place in the list", func(a *config.Application) { slices.Reverse(a.Endpoints) }, true},
		{"another id, weight, priority and limit", func(a *config.Application) {
			a.Endpoints[0] = config.Endpoint{ID: "x", URI: a.Endpoints[0].URI, APIKey: a.Endpoints[0].APIKey, Weight: 3, Priority: 4, RPM: 5}
		}, true},
		{"another strategy", func(a *config.Application) { a.Strategy = "random" }, true},
		{"another key", func(a *config.Application) { a.Endpoints[0].APIKey = "demo-2" }, false},
		{"another uri", func(a *config.Application) { a.Endpoints[0].URI += "/" }, false},
		{"another application", func(a *config.Application) { a.AppID = "other" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, _ := fleetAt()
			app := application("priority", 2)
			r := New(app, fleet)
			was := r.Endpoints()[0].State
			r.Plan(Facts{Only: "0"}).Next().Done(Outcome{Kind: Throttled, RetryAfter: time.Hour})

			c.do(app)
			r = New(app, fleet)
			i := slices.IndexFunc(r.Endpoints(), func(e *Endpoint) bool { return e.State == was })
			if (i >= 0) != c.known {
				t.Fatalf("known: %v, want %v", i >= 0, c.known)
			}
			resting := 0
			for _, s := range r.Status() {
				if s.Reason == ReasonThrottled {
					resting++
				}
			}
			if (resting == 1) != c.known {
				t.Errorf("%d endpoints rest", resting)
			}
		})
	}
}

func TestReloadKeepsTheNewestAdmissions(t *testing.T) {
	for _, c := range []struct{ before, after, want int }{
		{10, 4, 0}, {10, 10, 3}, {10, 20, 13}, {10, 8, 1},
	} {
		fleet, _ := fleetAt()
		app := application("priority", 1)
		app.Endpoints[0].RPM = c.before
		r := New(app, fleet)
		for range 7 {
			first(r, Outcome{Kind: Served})
		}
		app.Endpoints[0].RPM = c.after
		r = New(app, fleet)
		got := 0
		for first(r, Outcome{Kind: Served}) != "" {
			got++
		}
		if got != c.want {
			t.Errorf("%+v: %d admitted after the reload", c, got)
		}
	}
}

func TestKeepForgetsWhatNoRouterHas(t *testing.T) {
	fleet, _ := fleetAt()
	small, other := application("roundRobin", 2), application("priority", 1)
	other.AppID = "other"
	big := application("roundRobin", 3)
	big.Endpoints[2].Priority = 1
	r := New(big, fleet)
	gone := r.Plan(Facts{Only: "2"}).Next()
	r, o := New(small, fleet), New(other, fleet)
	fleet.Keep(r, o)
	if len(fleet.states) != 3 || len(fleet.turns) != 2 {
		t.Errorf("%d states and %d turns, want 3 and 2", len(fleet.states), len(fleet.turns))
	}

	gone.Done(Outcome{Kind: Throttled, RetryAfter: time.Hour}) // still works, and is nobody's
	if s := New(big, fleet).Status()[2]; s.Reason != "" {
		t.Errorf("a forgotten endpoint came back as %+v", s)
	}
	if New(small, fleet).Endpoints()[0].State != r.Endpoints()[0].State {
		t.Error("an endpoint in use was forgotten")
	}
}
