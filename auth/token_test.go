package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"aigateway/config"
)

const secret = "0123456789abcdef0123456789abcdef"

// now is the time of these tests.
func now() time.Time { return time.Unix(1_700_000_000, 0) }

// at is a NumericDate some seconds from now.
func at(seconds int64) int64 { return now().Unix() + seconds }

func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// unsigned is a token that nobody signed.
func unsigned(claims string) string { return part(`{"alg":"none"}`) + "." + part(claims) + "." }

// signed is a token with a kid, where that is not empty, as the library signs it.
func signed(t testing.TB, algorithm string, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func shared(id string) config.JWTKey {
	return config.JWTKey{ID: id, Algorithm: "HS256", Key: secret}
}

func public(t testing.TB, algorithm string, key crypto.Signer) config.JWTKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return config.JWTKey{Algorithm: algorithm, Key: config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// claiming reads the tenant from the claim "tenant".
func claiming(j config.JWT) *Tenancy {
	tenancy := NewTenancy(&config.Tenants{Claim: "tenant"}, &j)
	tenancy.Now = now
	return tenancy
}

// tenantOf is the tenant of a request with a bearer token.
func tenantOf(tenancy *Tenancy, token string) (string, error) {
	return tenancy.Tenant(http.Header{"Authorization": {"Bearer " + token}}, noQuery, anyone)
}

func TestTokensOfEveryAlgorithmAreVerified(t *testing.T) {
	private := rsaKey(t)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signers := map[string]crypto.Signer{"EdDSA": edwards}
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		if signers[name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		signers[name] = private
	}
	keys := []config.JWTKey{shared(""), {Algorithm: "HS384", Key: secret}, {Algorithm: "HS512", Key: secret}}
	for name, key := range signers {
		keys = append(keys, public(t, name, key))
	}
	all := claiming(config.JWT{Keys: keys})
	for _, k := range keys {
		var key any = []byte(secret)
		if signer, ok := signers[k.Algorithm]; ok {
			key = signer
		}
		token := signed(t, k.Algorithm, key, "any", jwt.MapClaims{"tenant": "contoso"})
		if got, err := tenantOf(all, token); got != "contoso" || err != nil {
			t.Errorf("%s: got %q, %v", k.Algorithm, got, err)
		}
		i := strings.LastIndexByte(token, '.') + 1
		broken := token[:i] + string('A'+('B'-token[i])&1) + token[i+1:]
		if broken == token {
			broken = token[:i] + "C" + token[i+1:]
		}
		_, err := tenantOf(all, broken)
		refused(t, k.Algorithm+" with another signature", err, BadToken, token[:i])
	}
}

func TestTokensThatAreNotValidAreRefused(t *testing.T) {
	rsaOne, rsaOther := rsaKey(t), rsaKey(t)
	rsaPublic := public(t, "RS256", rsaOne)
	numbered := shared("2025-01")
	tenancy := claiming(config.JWT{
		Keys: []config.JWTKey{numbered, rsaPublic}, Issuer: "https://login/", Audience: "api://gateway",
		Leeway: config.Interval{Time: time.Minute},
	})
	// with is the token of claims that are right but for one.
	with := func(name string, value any) jwt.MapClaims {
		claims := jwt.MapClaims{
			"tenant": "contoso", "iss": "https://login/", "aud": []string{"other", "api://gateway"},
			"exp": at(0), "nbf": at(30), "iat": at(30), // within the leeway
		}
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		return claims
	}
	right := with("tenant", "contoso")
	hs := func(claims jwt.MapClaims) string { return signed(t, "HS256", []byte(secret), "2025-01", claims) }

	for name, token := range map[string]string{
		"shared": hs(right), "public": signed(t, "RS256", rsaOne, "", right), "public with any kid": signed(t, "RS256", rsaOne, "7", right),
		"without times": hs(jwt.MapClaims{"tenant": "contoso", "iss": "https://login/", "aud": "api://gateway"}),
	} {
		if got, err := tenantOf(tenancy, token); got != "contoso" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}

	payload := strings.Split(hs(right), ".")[1]
	null := with("exp", 0)
	null["exp"] = nil
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, right)
	critical.Header["kid"], critical.Header["crit"] = "2025-01", []string{"x"}
	withCrit, err := critical.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, says string }{
		"alg none":                   {part(`{"alg":"none","kid":"2025-01"}`) + "." + payload + ".", "alg"},
		"alg None":                   {part(`{"alg":"None","kid":"2025-01"}`) + "." + payload + ".", "alg"},
		"alg none, signed":           {part(`{"alg":"none","kid":"2025-01"}`) + "." + payload + "." + strings.Split(hs(right), ".")[2], "alg"},
		"alg missing":                {part(`{"kid":"2025-01"}`) + "." + payload + ".", "alg"},
		"alg unknown":                {part(`{"alg":"ROT13"}`) + "." + payload + ".", "alg"},
		"alg in lower case":          {part(`{"alg":"hs256","kid":"2025-01"}`) + "." + payload + ".", "alg"},
		"public key as secret":       {signed(t, "HS256", []byte(rsaPublic.Key.Reveal()), "", right), "alg"},
		"public key as secret, kid":  {signed(t, "HS256", []byte(rsaPublic.Key.Reveal()), "2025-01", right), "signature"},
		"another algorithm":          {signed(t, "RS512", rsaOne, "", right), "alg"},
		"PS for RS":                  {signed(t, "PS256", rsaOne, "", right), "alg"},
		"another secret":             {signed(t, "HS256", []byte(strings.Repeat("x", 32)), "2025-01", right), "signature"},
		"another public key":         {signed(t, "RS256", rsaOther, "", right), "signature"},
		"kid of another":             {signed(t, "HS256", []byte(secret), "2024-12", right), "kid"},
		"kid of another case":        {signed(t, "HS256", []byte(secret), "2025-01 ", right), "kid"},
		"kid missing":                {signed(t, "HS256", []byte(secret), "", right), "kid"},
		"crit":                       {withCrit, "key"},
		"expired":                    {hs(with("exp", at(-60))), "expired"},
		"expired in 1970":            {hs(with("exp", 0)), "expired"},
		"exp a string":               {hs(with("exp", "tomorrow")), "RFC 7519"},
		"exp null":                   {hs(null), "RFC 7519"},
		"exp far out":                {hs(with("exp", -1e300)), "expired"},
		"not yet":                    {hs(with("nbf", at(61))), "nbf"},
		"nbf an object":              {hs(with("nbf", jwt.MapClaims{})), "RFC 7519"},
		"issued in the future":       {hs(with("iat", at(61))), "iat"},
		"another issuer":             {hs(with("iss", "https://login")), "iss"},
		"no issuer":                  {hs(with("iss", nil)), "iss"},
		"issuer a list":              {hs(with("iss", []string{"https://login/"})), "RFC 7519"},
		"another audience":           {hs(with("aud", "api://other")), "aud"},
		"no audience":                {hs(with("aud", nil)), "aud"},
		"empty audience":             {hs(with("aud", []string{})), "aud"},
		"audience of numbers":        {hs(with("aud", []any{1})), "RFC 7519"},
		"two dots":                   {"..", "well-formed"},
		"words":                      {"sk.web.1", "well-formed"},
		"header no object":           {part(`["HS256"]`) + "." + payload + ".", "well-formed"},
		"claims no object":           {part(`{"alg":"HS256"}`) + "." + part(`["tenant"]`) + ".", "well-formed"},
		"claims deep":                {part(`{"alg":"HS256"}`) + "." + part(strings.Repeat("[", 11_000)) + ".", "well-formed"},
		"signature not base64":       {part(`{"alg":"HS256","kid":"2025-01"}`) + "." + payload + ".+/=", "well-formed"},
		"changed claims, old signed": {changed(hs(right)), "signature"},
		"too long":                   {hs(with("padding", strings.Repeat("x", maxToken))), "16 KiB"},
	} {
		_, err := tenantOf(tenancy, c.token)
		refused(t, name, err, BadToken, "contoso")
		if err != nil && (!strings.Contains(err.Error(), c.says) || len(c.token) > 8 && strings.Contains(err.Error(), c.token[:8])) {
			t.Errorf("%s: says %s", name, err)
		}
	}
}

// changed is a token with other claims and its old signature.
func changed(token string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + part(`{"tenant":"fabrikam"}`) + "." + parts[2]
}

func TestClaimIsAString(t *testing.T) {
	for name, tenancy := range map[string]*Tenancy{
		"verified": claiming(config.JWT{Keys: []config.JWTKey{shared("")}}), "not verified": claiming(config.JWT{}),
	} {
		token := func(claims string) string {
			text := part(`{"alg":"HS256"}`) + "." + part(claims)
			sum, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
			if err != nil {
				t.Fatal(err)
			}
			return text + "." + part(string(sum))
		}
		for claims, want := range map[string]string{
			`{"tenant":"contoso"}`: "contoso", `{"tenant":""}`: "", `{"tenant":null}`: "", `{}`: "", `null`: "", `{"Tenant":"contoso"}`: "",
		} {
			if got, err := tenantOf(tenancy, token(claims)); got != want || err != nil {
				t.Errorf("%s, %s: got %q, %v", name, claims, got, err)
			}
		}
		for _, value := range []string{
			`["contoso"]`, `[]`, `7`, `1e300`, `true`, `false`, `{"contoso":1}`, `"con\ntoso"`, `" contoso"`, `"con\u0000toso"`, `"con\ud800toso"`, "\"con\xfftoso\"",
			`"` + strings.Repeat("x", 10_000) + `"`,
		} {
			_, err := tenantOf(tenancy, token(`{"tenant":`+value+`}`))
			refused(t, fmt.Sprintf("%s, %.20s", name, value), err, BadTenant, "toso")
		}
		_, err := tenantOf(tenancy, token(`{"tenant":"contoso","exp":null,"exp":1e999}`))
		refused(t, name+", numbers out of range", err, BadToken, "contoso")
	}
}

func TestWithoutKeysClaimsAreTakenAsTheyAre(t *testing.T) {
	tenancy := claiming(config.JWT{})
	for name, token := range map[string]string{
		"not signed": unsigned(`{"tenant":"contoso"}`), "expired": unsigned(`{"tenant":"contoso","exp":1}`),
		"unknown algorithm": part(`{"alg":"ES256K"}`) + "." + part(`{"tenant":"contoso"}`) + ".AA",
		"signed":            signed(t, "HS256", []byte(secret), "7", jwt.MapClaims{"tenant": "contoso"}),
	} {
		if got, err := tenantOf(tenancy, token); got != "contoso" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name, token := range map[string]string{"words": "sk.web.1", "no JSON": part("x") + "." + part("y") + ".", "too long": unsigned(`{"p":"` + strings.Repeat("x", maxToken) + `"}`)} {
		_, err := tenantOf(tenancy, token)
		refused(t, name, err, BadToken, "")
	}
}

func TestKeysThatCannotBeReadLetNoTokenPass(t *testing.T) {
	tenancy := claiming(config.JWT{Keys: []config.JWTKey{{Algorithm: "RS256", Key: "not a key"}}})
	_, err := tenantOf(tenancy, unsigned(`{"tenant":"contoso"}`))
	refused(t, "not signed", err, BadToken, "contoso")
}

func TestClaimComesBeforeHeaderAndQuery(t *testing.T) {
	tenancy := NewTenancy(&config.Tenants{Claim: "tenant", Header: "X-Tenant", Query: "t"}, &config.JWT{Keys: []config.JWTKey{shared("")}})
	contoso := signed(t, "HS256", []byte(secret), "", jwt.MapClaims{"tenant": "contoso"})
	nobody := signed(t, "HS256", []byte(secret), "", jwt.MapClaims{"sub": "x"})
	for _, tt := range []struct{ name, authorization, want string }{
		{"claim", "Bearer " + contoso, "contoso"},
		{"claim in any case", "bEARER  " + contoso, "contoso"},
		{"token without the claim", "Bearer " + nobody, "fabrikam"},
		{"a key", "Bearer sk-1", "fabrikam"},
		{"a key with a dot", "Bearer sk.1", "fabrikam"},
		{"five parts are encrypted", "Bearer a.b.c.d.e", "fabrikam"},
		{"not a bearer", "Basic " + contoso, "fabrikam"},
		{"nothing", "", "fabrikam"},
	} {
		h := http.Header{"Authorization": {tt.authorization}, "X-Tenant": {"fabrikam"}}
		if got, err := tenancy.Tenant(h, noQuery, anyone); got != tt.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	// A token that is not valid is not made up for by a header.
	h := http.Header{"Authorization": {"Bearer " + changed(contoso)}, "X-Tenant": {"fabrikam"}}
	_, err := tenancy.Tenant(h, noQuery, anyone)
	refused(t, "a bad token beside a header", err, BadToken, "")

	h = http.Header{"Authorization": {"Bearer " + contoso, "Bearer " + nobody}}
	_, err = tenancy.Tenant(h, noQuery, anyone)
	refused(t, "two tokens", err, BadTenant, contoso)
}

func TestKeyAndTokenTravelTogether(t *testing.T) {
	all := NewCallers([]config.Caller{
		{ID: "web", Key: "web-key-123", Apps: []string{"*"}},
		{ID: "own", Key: "own-key-123", Apps: []string{"*"}, Tenant: "fabrikam"},
		{ID: "dots", Key: "looks.like.one", Apps: []string{"*"}},
	})
	tenancy := claiming(config.JWT{Keys: []config.JWTKey{shared("")}})
	token := "Bearer " + signed(t, "HS256", []byte(secret), "", jwt.MapClaims{"tenant": "contoso"})

	ask := func(h http.Header) (id, tenant string, err error) {
		caller, ok := all.Identify(h)
		if !ok {
			return "", "", nil
		}
		tenant, err = tenancy.Tenant(h, noQuery, caller)
		return caller.ID, tenant, err
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		id     string
		tenant string
	}{
		{"both", http.Header{"Api-Key": {"web-key-123"}, "Authorization": {token}}, "web", "contoso"},
		{"key as bearer", http.Header{"Authorization": {"Bearer web-key-123"}}, "web", ""},
		{"key as bearer, with dots", http.Header{"Authorization": {"Bearer looks.like.one"}}, "dots", ""},
		{"key of a tenant", http.Header{"Api-Key": {"own-key-123"}}, "own", "fabrikam"},
		{"token without key", http.Header{"Authorization": {token}}, "", ""},
		{"token with a wrong key", http.Header{"Api-Key": {"web-key-124"}, "Authorization": {token}}, "", ""},
		{"token as key", http.Header{"Api-Key": {strings.TrimPrefix(token, "Bearer ")}}, "", ""},
	} {
		if id, tenant, err := ask(tt.header); id != tt.id || tenant != tt.tenant || err != nil {
			t.Errorf("%s: got caller %q, tenant %q, %v", tt.name, id, tenant, err)
		}
	}
	_, _, err := ask(http.Header{"Api-Key": {"own-key-123"}, "Authorization": {token}})
	refused(t, "a token of another tenant than the key", err, OtherTenant, "contoso")
	_, _, err = ask(http.Header{"Api-Key": {"own-key-123"}, "Authorization": {changed(token)}})
	refused(t, "a bad token beside the key of a tenant", err, BadToken, "contoso")
}

func BenchmarkTenantOfToken(b *testing.B) {
	private := rsaKey(b)
	tenancy := NewTenancy(&config.Tenants{Claim: "tenant"}, &config.JWT{Keys: []config.JWTKey{shared(""), public(b, "RS256", private)}})
	for name, token := range map[string]string{
		"HS256": signed(b, "HS256", []byte(secret), "", jwt.MapClaims{"tenant": "contoso"}),
		"RS256": signed(b, "RS256", private, "", jwt.MapClaims{"tenant": "contoso"}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tenantOf(tenancy, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
