package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// algorithms are those that a key can have.
func algorithms(t *testing.T) []string {
	t.Helper()
	field, ok := reflect.TypeFor[JWTKey]().FieldByName("Algorithm")
	if !ok {
		t.Fatal("JWTKey has no Algorithm")
	}
	return strings.Split(field.Tag.Get("enum"), "|")
}

func TestPublicKeysFitTheirAlgorithmsOnly(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	onCurve := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte, err error) Secret {
		if err != nil {
			t.Fatal(err)
		}
		return Secret(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
		fits []string
	}{
		{"RSA", rsaKey, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{"P-224", onCurve(elliptic.P224()), nil},
		{"P-256", onCurve(elliptic.P256()), []string{"ES256"}},
		{"P-384", onCurve(elliptic.P384()), []string{"ES384"}},
		{"P-521", onCurve(elliptic.P521()), []string{"ES512"}},
		{"Ed25519", edwards, []string{"EdDSA"}},
	} {
		public, publicErr := x509.MarshalPKIXPublicKey(c.key.Public())
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		certificate, certificateErr := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
		private, privateErr := x509.MarshalPKCS8PrivateKey(c.key)
		forms := map[string]Secret{
			"public key": encode("PUBLIC KEY", public, publicErr), "certificate": encode("CERTIFICATE", certificate, certificateErr),
			"private key": encode("PRIVATE KEY", private, privateErr),
		}
		if c.key == rsaKey {
			forms["PKCS #1"] = encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil)
		}
		for form, text := range forms {
			for _, algorithm := range algorithms(t) {
				got, ok := (&JWTKey{Algorithm: algorithm, Key: text}).Public()
				if want := form != "private key" && slices.Contains(c.fits, algorithm); ok != want {
					t.Errorf("%s, %s, %s: fits %v", c.name, form, algorithm, ok)
				}
				if ok && !reflect.DeepEqual(got, c.key.Public()) {
					t.Errorf("%s, %s: another key was returned", c.name, form)
				}
			}
		}
	}
}
