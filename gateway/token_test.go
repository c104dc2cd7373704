package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/tidwall/gjson"
)

const (
	tokenKey   = "0123456789abcdef0123456789abcdef"
	anotherKey = "fedcba9876543210fedcba9876543210"
)

// bearing is a bearer header with a token of a tenant that expires in some
// time; members are added to its claims, name and value in turn.
func bearing(t *testing.T, method jwt.SigningMethod, key any, tenant string, expires time.Duration, members ...string) []string {
	t.Helper()
	claims := jwt.MapClaims{"tid": tenant, "exp": time.Now().Add(expires).Unix(), "iss": "https://login.example.com/", "aud": "api://gateway"}
	for i := 0; i+1 < len(members); i += 2 {
		claims[members[i]] = members[i+1]
	}
	text, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + text}
}

// withTokens is a configuration of an application whose tenants stand in
// signed tokens, each with two requests a minute.
func withTokens(callers string) string {
	app := chatApp("bot", `"tenants":{"claim":"tid","header":"X-Tenant","required":true},`, "gpt-4o")
	return strings.TrimSuffix(limited(`{"id":"per-tenant","per":["tenant"],"allow":{"requestsPerMinute":2}}`, app), "}") +
		`,"jwt":{"keys":[{"algorithm":"HS256","key":"` + tokenKey + `"}],"issuer":"https://login.example.com/","audience":"api://gateway"}` + callers + `}`
}

func TestATokenNamesATenantOnlyWhenItIsSignedAsConfigured(t *testing.T) {
	s := newSetup(t, withTokens(""))
	good, hs := []byte(tokenKey), jwt.SigningMethodHS256
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"unsigned", bearing(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "evil", time.Hour), 401},
		{"expired", bearing(t, hs, good, "evil", -time.Hour), 401},
		{"of another key", bearing(t, hs, []byte(anotherKey), "evil", time.Hour), 401},
		{"of another algorithm", bearing(t, jwt.SigningMethodHS512, good, "evil", time.Hour), 401},
		{"of another issuer", bearing(t, hs, good, "evil", time.Hour, "iss", "https://evil.example.com/"), 401},
		{"for another audience", bearing(t, hs, good, "evil", time.Hour, "aud", "api://other"), 401},
		{"changed", []string{"Authorization", bearing(t, hs, good, "evil", time.Hour)[1] + "A"}, 401},
		{"no token", []string{"Authorization", "Bearer a.b.c"}, 401},
		{"good, with a name that is none", bearing(t, hs, good, "a\nb", time.Hour), 400},
	} {
		// A header beside it does not help.
		status, header, body := s.post("/lb/bot", goodChat, append(tt.headers, "X-Tenant", "evil")...)
		if status != tt.status || !gjson.Get(body, "error.message").Exists() || strings.Contains(body, "evil") {
			t.Errorf("%s: got %d %v: %s", tt.name, status, header, body)
		}
		if status, _, _ := s.get("/limits/bot", tt.headers...); status != tt.status {
			t.Errorf("%s: the page of limits says %d", tt.name, status)
		}
	}
	if n := s.sim.Calls("gpt-4o"); n != 0 {
		t.Errorf("the model was called %d times for refused tokens", n)
	}
	for _, tenant := range []string{"contoso", "fabrikam"} {
		token := bearing(t, hs, good, tenant, time.Hour)
		var got []int
		for range 3 {
			status, _, _ := s.post("/lb/bot", goodChat, append(token, "X-Tenant", "ignored")...)
			got = append(got, status)
		}
		if got[0] != 200 || got[1] != 200 || got[2] != 429 {
			t.Errorf("%s: got %v, want 200 twice, then 429", tenant, got)
		}
		if _, _, page := s.get("/limits/bot", token...); gjson.Get(page, "tenant").String() != tenant || gjson.Get(page, "limits.0.used").Int() != 2 {
			t.Errorf("%s sees %s", tenant, page)
		}
	}
}

func TestAKeyAndATokenCanStandSideBySide(t *testing.T) {
	s := newSetup(t, withTokens(`,"callers":[{"id":"open","key":"key-of-open","apps":["*"]},{"id":"fixed","key":"key-of-fixed","apps":["*"],"tenant":"contoso"}]`))
	token := func(tenant string, key string) []string {
		return bearing(t, jwt.SigningMethodHS256, []byte(key), tenant, time.Hour)
	}
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
		tenant  string
	}{
		{"both", append(token("fabrikam", tokenKey), "Api-Key", "key-of-open"), http.StatusOK, "fabrikam"},
		{"both, of a caller with that tenant", append(token("contoso", tokenKey), "Api-Key", "key-of-fixed"), http.StatusOK, "contoso"},
		{"both, of a caller with another tenant", append(token("fabrikam", tokenKey), "Api-Key", "key-of-fixed"), http.StatusForbidden, ""},
		{"a token of another key", append(token("fabrikam", anotherKey), "Api-Key", "key-of-open"), http.StatusUnauthorized, ""},
		{"a key that is none", append(token("fabrikam", tokenKey), "Api-Key", "key-of-nobody"), http.StatusUnauthorized, ""},
		{"the token alone", token("fabrikam", tokenKey), http.StatusUnauthorized, ""},
		{"the key alone, as bearer", []string{"Authorization", "Bearer key-of-fixed"}, http.StatusOK, "contoso"},
		{"the key alone, of no tenant", []string{"Api-Key", "key-of-open"}, http.StatusBadRequest, ""},
	} {
		status, _, body := s.post("/lb/bot", goodChat, tt.headers...)
		if status != tt.status {
			t.Errorf("%s: got %d, want %d: %s", tt.name, status, tt.status, body)
		}
		if status != http.StatusOK {
			continue
		}
		if _, _, page := s.get("/limits/bot", tt.headers...); gjson.Get(page, "tenant").String() != tt.tenant {
			t.Errorf("%s: the tenant is not %s: %s", tt.name, tt.tenant, page)
		}
	}
}
