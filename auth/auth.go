// Package auth says who is calling, and for which tenant: it knows the
// configured callers by the digest of their keys, the admin by the gateway's
// key, and a tenant by the caller's, or by what the request's token, header or
// query says. In a request it is asked first, before anything is read or looked
// up.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"aigateway/config"
)

// Caller is a client of the gateway. The zero Caller is anyone, where no
// callers are configured.
type Caller struct {
	ID     string
	Tenant string
	apps   map[string]bool // nil: every application
}

// May reports whether the caller may use an application.
func (c *Caller) May(appID string) bool { return c.apps == nil || c.apps[appID] }

// Callers are the configured callers; nil means that anyone may call. It is
// immutable.
type Callers struct {
	// Keys are found by their SHA-256, so that no comparison takes time that
	// depends on the key: a prober cannot choose a digest's bytes, and learns
	// nothing of any key from how far a digest matches.
	byDigest map[[sha256.Size]byte]*Caller
}

// NewCallers returns the callers of a configuration, nil when it names none.
func NewCallers(callers []config.Caller) *Callers {
	if len(callers) == 0 {
		return nil
	}
	all := &Callers{byDigest: make(map[[sha256.Size]byte]*Caller, len(callers))}
	for _, c := range callers {
		caller := &Caller{ID: c.ID, Tenant: c.Tenant, apps: make(map[string]bool, len(c.Apps))}
		for _, app := range c.Apps {
			caller.apps[app] = true
		}
		if caller.apps["*"] {
			caller.apps = nil
		}
		all.byDigest[digest(c.Key.Reveal())] = caller
	}
	return all
}

// digest returns the SHA-256 of a configured key, which may be given as
// "sha256:" and the hex digest itself.
func digest(key string) [sha256.Size]byte {
	if text, ok := strings.CutPrefix(key, "sha256:"); ok {
		if raw, err := hex.DecodeString(text); err == nil && len(raw) == sha256.Size {
			return [sha256.Size]byte(raw)
		}
	}
	return sha256.Sum256([]byte(key))
}

// anyone calls when no callers are configured.
var anyone = &Caller{}

// Identify returns who sends a request with this header; false when its key is
// missing or unknown.
func (all *Callers) Identify(h http.Header) (*Caller, bool) {
	if all == nil {
		return anyone, true
	}
	presented := Key(h)
	if presented == "" {
		return nil, false
	}
	sum := sha256.Sum256([]byte(presented))
	caller, ok := all.byDigest[sum]
	return caller, ok
}

// Key returns the key that a request presents: its api-key header, as Azure's
// SDKs send it, or its bearer token, as OpenAI's do.
func Key(h http.Header) string {
	if key := first(h["Api-Key"]); key != "" {
		return key
	}
	return bearer(h)
}

// bearer returns a request's bearer token (RFC 6750), empty when it has none.
func bearer(h http.Header) string {
	scheme, token, ok := strings.Cut(first(h["Authorization"]), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// Admin reports whether presented is the gateway's key. Without a gateway key
// nobody is admin. The comparison takes the same time for every wrong key.
func Admin(key config.Secret, presented string) bool {
	if key == "" || presented == "" {
		return false
	}
	a, b := sha256.Sum256([]byte(key.Reveal())), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
