package auth

import (
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"aigateway/config"
)

// maxToken bounds a bearer token, in bytes: identity providers keep theirs
// below 8 KiB, which is what most servers admit as a header.
const maxToken = 16 << 10

// tokens reads the tenant in bearer tokens that are JSON Web Tokens (RFC 7519).
type tokens struct {
	claim  string
	verify bool
	keys   []tokenKey
	parser *jwt.Parser
}

// tokenKey is a key that verifies tokens of one algorithm.
type tokenKey struct {
	id, algorithm string
	key           any
}

func newTokens(claim string, j *config.JWT, now func() time.Time) *tokens {
	t := &tokens{claim: claim, verify: len(j.Keys) > 0}
	for i := range j.Keys {
		k := &j.Keys[i]
		key := tokenKey{k.ID, k.Algorithm, []byte(k.Key.Reveal())}
		if !strings.HasPrefix(k.Algorithm, "HS") {
			public, ok := k.Public()
			if !ok {
				continue // config refuses it; no token is its
			}
			key.key = public
		}
		t.keys = append(t.keys, key)
	}
	options := []jwt.ParserOption{jwt.WithTimeFunc(now), jwt.WithLeeway(j.Leeway.Duration()), jwt.WithIssuedAt()}
	if j.Issuer != "" {
		options = append(options, jwt.WithIssuer(j.Issuer))
	}
	if j.Audience != "" {
		options = append(options, jwt.WithAudience(j.Audience))
	}
	t.parser = jwt.NewParser(options...)
	return t
}

// tenant returns the tenant that a request's token names; empty when it has no
// token, or one without the claim.
func (t *tokens) tenant(h http.Header, caller *Caller) (string, error) {
	if caller.ID != "" && first(h["Api-Key"]) == "" {
		return "", nil // the bearer token is the caller's key
	}
	if _, ok := only(h["Authorization"]); !ok {
		return "", &TenantError{BadTenant, "The header Authorization is there more than once, with different values: send it once."}
	}
	token := bearer(h)
	if strings.Count(token, ".") != 2 {
		return "", nil // a key
	}
	if len(token) > maxToken {
		return "", &TenantError{BadToken, "The bearer token is longer than 16 KiB: send one with fewer claims."}
	}
	claims, err := t.claims(token)
	if err != nil {
		return "", &TenantError{BadToken, refusal(err)}
	}
	switch name := claims[t.claim].(type) {
	case nil:
		return "", nil
	case string:
		// What is not UTF-8 was replaced when the token was decoded.
		if name != "" && (!config.ValidTenant(name) || strings.ContainsRune(name, utf8.RuneError)) {
			return "", badName("in the claim " + t.claim + " of the bearer token")
		}
		return name, nil
	}
	return "", &TenantError{BadTenant, "The tenant in the claim " + t.claim + " of the bearer token must be a string."}
}

// claims returns what a token says, verified when there are keys.
func (t *tokens) claims(token string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	if !t.verify {
		_, _, err := t.parser.ParseUnverified(token, claims)
		if errors.Is(err, jwt.ErrTokenUnverifiable) {
			err = nil // how it is signed does not matter
		}
		return claims, err
	}
	if _, err := t.parser.ParseWithClaims(token, claims, t.keysFor); err != nil {
		return nil, err
	}
	if claims["exp"] == float64(0) {
		return nil, jwt.ErrTokenExpired // the library takes it for none
	}
	return claims, nil
}

// keysFor returns the keys that a token may be signed with: those of its very
// algorithm, so that no public key is ever taken for a shared secret, and of
// its kid.
func (t *tokens) keysFor(token *jwt.Token) (any, error) {
	var fitting jwt.VerificationKeySet
	if _, critical := token.Header["crit"]; critical {
		return fitting, nil // RFC 7515, section 4.1.11: who does not know an extension refuses the token
	}
	kid, _ := token.Header["kid"].(string)
	for _, k := range t.keys {
		if k.algorithm == token.Method.Alg() && (k.id == "" || k.id == kid) {
			fitting.Keys = append(fitting.Keys, k.key)
		}
	}
	return fitting, nil
}

// refusal says what is wrong with a token, without anything of it.
func refusal(err error) string {
	for _, r := range []struct {
		is   error
		says string
	}{
		{jwt.ErrTokenMalformed, "The bearer token is not a well-formed JSON Web Token: send it as it was issued."},
		{jwt.ErrTokenUnverifiable, "The bearer token is not signed with a key that this gateway knows: its algorithm (alg) and key (kid) must be of one."},
		{jwt.ErrTokenSignatureInvalid, "The bearer token's signature is not that of a key that this gateway knows."},
		{jwt.ErrTokenExpired, "The bearer token has expired (exp): send a current one."},
		{jwt.ErrTokenNotValidYet, "The bearer token is not valid yet (nbf)."},
		{jwt.ErrTokenUsedBeforeIssued, "The bearer token is from the future (iat): the clock of who issued it is wrong."},
		{jwt.ErrTokenInvalidIssuer, "The bearer token is not from the issuer that this gateway trusts (iss)."},
		{jwt.ErrTokenInvalidAudience, "The bearer token is not meant for this gateway (aud)."},
		{jwt.ErrTokenRequiredClaimMissing, "The bearer token lacks its issuer (iss) or audience (aud): this gateway checks them."},
	} {
		if errors.Is(err, r.is) {
			return r.says
		}
	}
	return "The bearer token's claims are not as RFC 7519 has them: send it as it was issued."
}
