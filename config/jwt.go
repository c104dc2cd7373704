package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strconv"
	"strings"
)

// JWT says which bearer tokens are believed. Without keys a token's claims are
// taken as they are, like a header: then something in front of the gateway must
// have checked it.
type JWT struct {
	// Keys verify tokens; one of them must fit. Without keys no token is
	// checked, not even for its age, and any client can name any tenant.
	Keys []JWTKey `json:"keys"`
	// Issuer is what iss must be; empty takes any.
	Issuer string `json:"issuer" example:"\"https://login.example.com/\""`
	// Audience is what aud must hold; empty takes any.
	Audience string `json:"audience" example:"\"api://gateway\""`
	// Leeway is how far clocks may differ where a token's times are checked (exp,
	// nbf, iat).
	Leeway Interval `json:"leeway" default:"1 minute"`
}

// JWTKey is one key that tokens are signed with.
type JWTKey struct {
	// ID is the kid of tokens that it signed; empty tries it on all.
	ID string `json:"id" example:"\"2025-01\""`
	// Algorithm is how it signs; tokens that say another alg are not its.
	Algorithm string `json:"algorithm" required:"true" enum:"HS256|HS384|HS512|RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"`
	// Key is the shared secret (HS…, at least 32 bytes) or the public key or
	// certificate in PEM; or env:NAME or file:/path that holds it.
	Key Secret `json:"key" required:"true" example:"\"file:/etc/gateway/jwt.pem\""`
}

func (j *JWT) validate(p *place) {
	validateTimeout(j.Leeway, p.member("leeway"))
	if len(j.Keys) == 0 {
		for member, value := range map[string]string{"issuer": j.Issuer, "audience": j.Audience} {
			if value != "" && !p.member("keys").hasBad() {
				p.member(member).fault("keys beside it: without them no token is checked")
			}
		}
	}
	for i := range j.Keys {
		j.Keys[i].validate(p.member("keys").item(i))
	}
}

func (k *JWTKey) validate(p *place) {
	key, secret := p.member("key"), []byte(k.Key.Reveal())
	block, _ := pem.Decode(secret)
	switch {
	case k.Algorithm == "":
		p.member("algorithm").fault("how the key signs, such as RS256")
		if k.Key == "" {
			key.fault("the secret or public key that tokens are checked with")
		}
	case !strings.HasPrefix(k.Algorithm, "HS"):
		if _, ok := k.Public(); !ok {
			key.faultSeen(key.seenSecret(), "a public key or certificate in PEM, "+fitting(k.Algorithm))
		}
	case block != nil:
		// Whoever knows a public key could sign with it.
		key.faultSeen(key.seenSecret(), "a shared secret, not a key or certificate in PEM")
	case len(secret) < leastSecret:
		key.faultSeen(key.seenSecret(), "a secret of at least 32 bytes")
	}
}

const (
	// leastSecret is the size of the least hash, in bytes, which RFC 7518,
	// section 3.2, wants of a secret. It wants 48 and 64 with the larger ones,
	// but 32 bytes cannot be guessed with these either.
	leastSecret = 32
	// leastRSA is the least size of an RSA key, in bits (RFC 7518, section 3.3).
	leastRSA = 2048
)

// fitting says what the public key of an algorithm is.
func fitting(algorithm string) string {
	switch algorithm {
	case "ES256":
		return "on the curve P-256"
	case "ES384":
		return "on the curve P-384"
	case "ES512":
		return "on the curve P-521"
	case "EdDSA":
		return "Ed25519"
	}
	return "RSA of at least " + strconv.Itoa(leastRSA) + " bits"
}

// Public returns the public key, and whether it fits the algorithm, which is
// not HS….
func (k *JWTKey) Public() (any, bool) {
	block, _ := pem.Decode([]byte(k.Key.Reveal()))
	if block == nil {
		return nil, false
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	}
	if err != nil {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, false
		}
		key = certificate.PublicKey
	}
	fits := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		fits = (strings.HasPrefix(k.Algorithm, "RS") || strings.HasPrefix(k.Algorithm, "PS")) && key.N.BitLen() >= leastRSA
	case *ecdsa.PublicKey:
		// RFC 7518, section 3.4: each algorithm has its curve.
		fits = strings.HasPrefix(k.Algorithm, "ES") && strings.HasSuffix(fitting(k.Algorithm), key.Curve.Params().Name)
	case ed25519.PublicKey:
		fits = k.Algorithm == "EdDSA"
	}
	return key, fits
}
