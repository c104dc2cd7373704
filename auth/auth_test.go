package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"aigateway/config"
)

func TestCallersAreKnownByTheirKeys(t *testing.T) {
	sum := sha256.Sum256([]byte("digested-key"))
	all := NewCallers([]config.Caller{
		{ID: "web", Key: "web-key-123", Apps: []string{"chat"}, Tenant: "t1"},
		{ID: "batch", Key: config.Secret("sha256:" + hex.EncodeToString(sum[:])), Apps: []string{"*"}},
	})
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"api-key", http.Header{"Api-Key": {"web-key-123"}}, "web"},
		{"bearer", http.Header{"Authorization": {"Bearer web-key-123"}}, "web"},
		{"bearer in any case", http.Header{"Authorization": {"bearer  web-key-123 "}}, "web"},
		{"api-key wins", http.Header{"Api-Key": {"digested-key"}, "Authorization": {"Bearer web-key-123"}}, "batch"},
		{"known by digest", http.Header{"Api-Key": {"digested-key"}}, "batch"},
		{"the digest itself is no key", http.Header{"Api-Key": {"sha256:" + hex.EncodeToString(sum[:])}}, ""},
		{"wrong", http.Header{"Api-Key": {"web-key-124"}}, ""},
		{"prefix", http.Header{"Api-Key": {"web-key-12"}}, ""},
		{"missing", http.Header{}, ""},
		{"empty", http.Header{"Api-Key": {""}}, ""},
		{"basic", http.Header{"Authorization": {"Basic web-key-123"}}, ""},
		{"bearer of nothing", http.Header{"Authorization": {"Bearer"}}, ""},
	}
	for _, tt := range tests {
		caller, ok := all.Identify(tt.header)
		got := ""
		if ok {
			got = caller.ID
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	web, _ := all.Identify(http.Header{"Api-Key": {"web-key-123"}})
	if !web.May("chat") || web.May("other") || web.Tenant != "t1" {
		t.Errorf("web may use the wrong applications: %+v", web)
	}
	if batch, _ := all.Identify(http.Header{"Api-Key": {"digested-key"}}); !batch.May("other") {
		t.Error("* does not stand for every application")
	}
}

func TestWithoutCallersAnyoneMayCall(t *testing.T) {
	caller, ok := NewCallers(nil).Identify(http.Header{})
	if !ok || !caller.May("anything") || caller.ID != "" {
		t.Errorf("got %+v, %v", caller, ok)
	}
}

func TestAdminNeedsAKeyThatIsSet(t *testing.T) {
	tests := []struct {
		key       config.Secret
		presented string
		want      bool
	}{
		{"secret", "secret", true},
		{"secret", "Secret", false},
		{"secret", "secret ", false},
		{"secret", "", false},
		{"", "", false},
		{"", "anything", false},
	}
	for _, tt := range tests {
		if got := Admin(tt.key, tt.presented); got != tt.want {
			t.Errorf("key %q, presented %q: got %v", tt.key.Reveal(), tt.presented, got)
		}
	}
}
