package test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OA-10: a relying party that we did not write authenticates by a key of its
// own, and publishes it where we fetch it.
func TestApacheAuthenticatesByItsKey(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := planApache(t, dsn, passwordOnly)
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		a.client.Secrets, a.client.KeysURI = nil, a.url+"/oidc/callback?jwks=rsa"
		a.config = strings.Replace(a.config, `OIDCClientSecret "`+apacheSecret+`"`, strings.Join([]string{
			"OIDCPrivateKeyFiles k1#" + a.keyFile("private.pem", "PRIVATE KEY", private),
			"OIDCPublicKeyFiles k1#" + a.keyFile("public.pem", "PUBLIC KEY", public),
			// Not before the key: the module would not know the word.
			"OIDCProviderTokenEndpointAuth private_key_jwt",
		}, "\n"), 1)
		a.start(ctx)
		a.idp.enrolled("alice")
		a.enters("alice")
	})
}

// keyFile writes a key where Apache reads it.
func (a *apache) keyFile(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}
