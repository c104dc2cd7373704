package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

type reconfigAnswer struct {
	EndpointURI, CurrentDate, Status string
	Faults                           []string
	ConfigGeneration                 int
	ConfigHash                       string
}

func reconfigured(t *testing.T, body string) reconfigAnswer {
	t.Helper()
	var a reconfigAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if a.EndpointURI != "/api/v1/dev/apirouter/reconfig" || a.CurrentDate == "" {
		t.Errorf("endpointUri %q, currentDate %q", a.EndpointURI, a.CurrentDate)
	}
	if strings.Contains(body, adminKey) || strings.Contains(body, "key-of-") {
		t.Errorf("a key is shown: %s", body)
	}
	return a
}

func TestReconfigWithTheKeyPutsTheFileInForce(t *testing.T) {
	s := newSetup(t, applications(chatApp("app0", "", "one")))
	for i, c := range []struct{ method, path, header string }{
		{"GET", "/reconfig/" + adminKey, ""},
		{"POST", "/reconfig/" + adminKey, ""},
		{"PUT", "/api/v1/dev/apirouter/ReConfig/" + adminKey + "/", ""},
		{"PATCH", "/reconfig", "Bearer " + adminKey},
		{"GET", "/api/v1/dev/aigateway/reconfig/", "Bearer " + adminKey},
	} {
		before, after := "app"+string(rune('0'+i)), "app"+string(rune('1'+i))
		s.source.set(applications(chatApp(after, "", "one")))
		if status, _, _ := s.post("/lb/"+after, goodChat); status != http.StatusNotFound {
			t.Fatalf("%s is in force already: %d", after, status)
		}
		var headers []string
		if c.header != "" {
			headers = []string{"Authorization", c.header}
		}
		status, h, body := s.do(c.method, c.path, "", headers...)
		a := reconfigured(t, body)
		if status != http.StatusOK || a.Status != "Reloaded router config ..." || a.ConfigGeneration != i+2 {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
		if label := h.Get("X-Gateway-Config"); label != string(rune('2'+i))+"-"+a.ConfigHash[:8] {
			t.Errorf("x-gateway-config %q of %s", label, body)
		}
		// The answer came after the configuration was in force.
		if status, _, _ := s.post("/lb/"+after, goodChat); status != http.StatusOK {
			t.Errorf("%s after its reload: %d", after, status)
		}
		if status, _, _ := s.post("/lb/"+before, goodChat); status != http.StatusNotFound {
			t.Errorf("%s is still there: %d", before, status)
		}
	}
}

func TestReconfigWithoutTheKeyChangesNothing(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	s.source.set(applications(chatApp("changed", "", "one")))
	for _, c := range []struct {
		path    string
		headers []string
	}{
		{"/reconfig/wrong", nil},
		{"/reconfig/" + strings.ToUpper(adminKey), nil},
		{"/reconfig/" + adminKey[:len(adminKey)-1], nil},
		{"/reconfig", nil},
		{"/reconfig/wrong", []string{"Authorization", "Bearer " + adminKey}},
		{"/reconfig", []string{"Authorization", "Bearer wrong"}},
		{"/reconfig", []string{"Authorization", adminKey}},
	} {
		status, h, body := s.get(c.path, c.headers...)
		if a := reconfigured(t, body); status != http.StatusBadRequest || a.Status != "Incorrect AI Services API Gateway Key" {
			t.Errorf("%s %q: %d %s", c.path, c.headers, status, body)
		}
		if strings.Contains(body, "wrong") || !strings.HasPrefix(h.Get("X-Gateway-Config"), "1-") {
			t.Errorf("%s: %s, config %q", c.path, body, h.Get("X-Gateway-Config"))
		}
	}
	if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("the old configuration: %d", status)
	}
}

func TestReconfigOfAFaultyFileNamesEveryFaultAndChangesNothing(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, c := range []struct {
		name, file string
		faults     []string
	}{
		{"not JSON", "{", []string{""}},
		{"empty", "", []string{""}},
		{
			"three faults", `{"applications":[{"appId":"a","appType":"poetry","endpoints":[{"uri":"ftp://x","apikey":"key-of-fault","rpm":-1}]}]}`,
			[]string{"applications[0].appType", "applications[0].endpoints[0].uri", "applications[0].endpoints[0].rpm"},
		},
		{"unknown member", `{"applications":[{"appId":"a","appType":"openai","colour":"red","endpoints":[{"uri":"http://x"}]}]}`, []string{"applications[0].colour"}},
		{"same id twice", applications(chatApp("a", "", "one"), chatApp("a", "", "two")), []string{"applications[1].appId"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.source.set(c.file)
			status, h, body := s.get("/reconfig/" + adminKey)
			a := reconfigured(t, body)
			if status != http.StatusUnprocessableEntity || len(a.Faults) != len(c.faults) {
				t.Fatalf("%d %s", status, body)
			}
			for i, want := range c.faults {
				if !strings.Contains(strings.Join(a.Faults, "\n"), want) {
					t.Errorf("fault %d, %s, is not in %q", i, want, a.Faults)
				}
			}
			if !strings.HasPrefix(h.Get("X-Gateway-Config"), "1-") {
				t.Errorf("config %q", h.Get("X-Gateway-Config"))
			}
			if status, h, _ := s.post("/lb/chat", goodChat); status != http.StatusOK || !strings.HasPrefix(h.Get("X-Gateway-Config"), "1-") {
				t.Errorf("the old configuration: %d", status)
			}
		})
	}
	s.source.fail(errors.New("disk on fire"))
	if status, _, body := s.get("/reconfig/" + adminKey); status != http.StatusUnprocessableEntity || len(reconfigured(t, body).Faults) != 1 {
		t.Errorf("unreadable file: %d %s", status, body)
	}
	s.source.fail(nil)
	s.source.set(applications(chatApp("chat", "", "one")))
	if status, _, body := s.get("/reconfig/" + adminKey); status != http.StatusOK || reconfigured(t, body).ConfigGeneration != 2 {
		t.Errorf("the next good file: %d %s", status, body)
	}
}

func TestReconfigKeepsRestsAndCounts(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
	s.sim.Script("one", "status=429; retry-after=3600")
	s.post("/lb/chat", goodChat)
	s.source.set(applications(chatApp("chat", `"description":"changed",`, "one", "two", "three")))
	if status, _, body := s.get("/reconfig/" + adminKey); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if _, h, _ := s.post("/lb/chat", goodChat); h.Get("X-Gateway-Endpoint") != "two" || h.Get("X-Gateway-Attempts") != "1" {
		t.Errorf("the rest was forgotten: %v", h)
	}
	_, _, body := s.get("/metrics")
	if m := endpointMetrics(t, body, 0, 1); m["apiCalls"] != 2.0 {
		t.Errorf("the counts were forgotten: %v", m)
	}
}
