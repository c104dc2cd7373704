package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

func TestCallersAreAskedForBeforeAnythingElse(t *testing.T) {
	digest := sha256.Sum256([]byte("key-of-the-digest"))
	s := newSetup(t, `{"callers":[
		{"id":"shop","key":"key-of-the-shop","apps":["chat"],"tenant":"retail"},
		{"id":"hashed","key":"sha256:`+hex.EncodeToString(digest[:])+`","apps":["*"]}],
		"applications":[`+chatApp("chat", "", "one")+`,`+chatApp("other", "", "two")+`]}`)
	named := func(model string) string { return strings.Replace(goodChat, "{", `{"model":"`+model+`",`, 1) }
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		code             string
	}{
		{"no key", "/lb/chat", goodChat, nil, 401, "unauthorized"},
		{"no key, application unknown", "/lb/nobody", goodChat, nil, 401, "unauthorized"},
		{"no key, body bad", "/lb/chat", "{", nil, 401, "unauthorized"},
		{"no key, by model", "/lb/v1/chat/completions", "{", nil, 401, "unauthorized"},
		{"wrong key", "/lb/chat", goodChat, []string{"api-key", "wrong"}, 401, "unauthorized"},
		{"key of an endpoint", "/lb/chat", goodChat, []string{"api-key", "key-of-one"}, 401, "unauthorized"},
		{"the digest itself", "/lb/chat", goodChat, []string{"api-key", "sha256:" + hex.EncodeToString(digest[:])}, 401, "unauthorized"},
		{"the gateway's own key", "/lb/chat", goodChat, []string{"api-key", adminKey}, 401, "unauthorized"},
		{"basic", "/lb/chat", goodChat, []string{"Authorization", "Basic key-of-the-shop"}, 401, "unauthorized"},
		{"empty bearer", "/lb/chat", goodChat, []string{"Authorization", "Bearer "}, 401, "unauthorized"},
		{"application unknown", "/lb/nobody", goodChat, []string{"api-key", "key-of-the-shop"}, 404, "notFound"},
		{"model unknown", "/lb/v1/chat/completions", named("nobody"), []string{"api-key", "key-of-the-shop"}, 404, "notFound"},
		{"application of others", "/lb/other", goodChat, []string{"api-key", "key-of-the-shop"}, 403, "forbidden"},
		{"application of others, body bad", "/lb/other", "{", []string{"api-key", "key-of-the-shop"}, 403, "forbidden"},
		{"model of others", "/lb/v1/chat/completions", named("other"), []string{"api-key", "key-of-the-shop"}, 403, "forbidden"},
		{"body bad", "/lb/chat", "{", []string{"api-key", "key-of-the-shop"}, 400, "invalidPayload"},
		{"api-key", "/lb/chat", goodChat, []string{"api-key", "key-of-the-shop"}, 200, ""},
		{"bearer", "/lb/chat", goodChat, []string{"Authorization", "bearer key-of-the-shop"}, 200, ""},
		{"by model", "/lb/v1/chat/completions", named("chat"), []string{"Authorization", "Bearer key-of-the-shop"}, 200, ""},
		{"digest", "/lb/other", goodChat, []string{"api-key", "key-of-the-digest"}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.sim.Reset()
			status, h, body := s.post(c.path, c.body, c.headers...)
			if c.status != http.StatusOK {
				wantError(t, status, h, body, c.status, c.code)
				if (c.status == 401) != (h.Get("WWW-Authenticate") != "") {
					t.Errorf("www-authenticate %q", h.Get("WWW-Authenticate"))
				}
			} else if status != c.status {
				t.Fatalf("%d %s", status, body)
			}
			if n := len(s.sim.Requests()); (n == 1) != (c.status == 200) {
				t.Errorf("%d calls", n)
			}
		})
	}
	if text := s.log.String(); !strings.Contains(text, `"caller":"shop"`) || strings.Contains(text, "key-of-the-digest") {
		t.Error("the log names no caller, or a caller's key")
	}
	for key, want := range map[string]string{"key-of-the-shop": `"chat"`, "key-of-the-digest": `"other"`} {
		status, _, body := s.get("/lb/v1/models", "Authorization", "Bearer "+key)
		if status != http.StatusOK || !strings.Contains(body, want) || key == "key-of-the-shop" && strings.Contains(body, "other") {
			t.Errorf("models of %s: %d %s", key, status, body)
		}
	}
	status, h, body := s.get("/lb/v1/models")
	wantError(t, status, h, body, http.StatusUnauthorized, "unauthorized")
}

func TestInfoPagesAreProtectedWhereConfigured(t *testing.T) {
	for _, protect := range []string{"true", "false"} {
		t.Run(protect, func(t *testing.T) {
			s := newSetup(t, `{"server":{"protectInfo":`+protect+`},"callers":[{"id":"shop","key":"key-of-the-shop","apps":["*"]}],
				"applications":[`+chatApp("chat", "", "one")+`]}`)
			for _, path := range []string{"/instanceinfo", "/metrics", "/metrics?format=prometheus", "/api/v1/dev/apirouter/metrics"} {
				for _, c := range []struct {
					headers []string
					admin   bool
				}{
					{nil, false},
					{[]string{"Authorization", "Bearer wrong"}, false},
					{[]string{"api-key", "key-of-the-shop"}, false},
					{[]string{"Authorization", "Bearer " + adminKey}, true},
					{[]string{"api-key", adminKey}, true},
				} {
					status, h, body := s.get(path, c.headers...)
					if protect == "false" || c.admin {
						if status != http.StatusOK {
							t.Errorf("GET %s with %q: %d", path, c.headers, status)
						}
						continue
					}
					wantError(t, status, h, body, http.StatusUnauthorized, "unauthorized")
				}
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				if status, _, _ := s.get(path); status != http.StatusOK {
					t.Errorf("GET %s: %d", path, status)
				}
			}
		})
	}
}
