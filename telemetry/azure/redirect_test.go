package azure

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRedirectsAreFollowedAndRemembered(t *testing.T) {
	for _, status := range []int{307, 308} {
		front, back := newStandIn(t), newStandIn(t)
		front.answering(http.Header{"Location": {back.server.URL + "/v2.1/track"}}, status, status, status)
		s := front.open(Options{})
		s.Send(t.Context(), batchOf(0, 2))
		s.Send(t.Context(), batchOf(2, 4))
		if diff := cmp.Diff(wantIDs(0, 4), back.ids()); diff != "" || len(front.posts) != 1 {
			t.Errorf("status %d: %d posts to the first (-want +got):\n%s", status, len(front.posts), diff)
		}
	}
}

func TestRedirectsAreForgottenWhenTheirTargetIsGone(t *testing.T) {
	front, back, at := newStandIn(t), newStandIn(t), newClock()
	front.answering(http.Header{"Location": {back.server.URL + "/v2.1/track"}}, 307)
	s := front.open(Options{Now: at.now})
	s.Send(t.Context(), batchOf(0, 1))
	back.server.Close()
	s.Send(t.Context(), batchOf(1, 2))
	at.pass(time.Second)
	s.Send(t.Context(), nil)
	if diff := cmp.Diff(wantIDs(1, 2), front.ids()); diff != "" {
		t.Error(diff)
	}
}

func TestRedirectsLeadToHTTPSOnly(t *testing.T) {
	for _, location := range []string{"http://elsewhere.example/v2.1/track", "/v2.1/other", "https://user:secret@elsewhere.example/", "https:///"} {
		in, at := newStandIn(t), newClock()
		in.answering(http.Header{"Location": {location}}, 307)
		log, lines := logged()
		s := in.open(Options{Now: at.now, Log: log})
		s.Send(t.Context(), batchOf(0, 1))
		if len(in.posts) != 1 || !strings.Contains(lines.String(), "redirect") || strings.Contains(lines.String(), "secret") {
			t.Errorf("%s: %d posts, logged %s", location, len(in.posts), lines)
		}
		at.pass(time.Second)
		s.Send(t.Context(), nil)
		if diff := cmp.Diff(wantIDs(0, 1), in.ids()); diff != "" {
			t.Errorf("%s: %s", location, diff)
		}
	}
}

func TestRedirectsInACircleEnd(t *testing.T) {
	in, at := newStandIn(t), newClock()
	in.answering(http.Header{"Location": {in.server.URL + "/v2.1/track"}}, slices.Repeat([]int{308}, redirectsMost+1)...)
	s := in.open(Options{Now: at.now})
	s.Send(t.Context(), batchOf(0, 1))
	if len(in.posts) != redirectsMost+1 {
		t.Errorf("got %d posts", len(in.posts))
	}
	at.pass(time.Second)
	s.Send(t.Context(), nil)
	if len(in.ids()) != 1 {
		t.Error("the request did not arrive after the pause")
	}
}
