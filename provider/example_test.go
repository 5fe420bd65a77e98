package provider_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// mount puts the provider into an app: over the app's own users, under a path
// of its own, with its data in one file.
func mount(app *http.ServeMux, users provider.Directory, file string, sealingKey, tokenSecret []byte) error {
	db, err := storage.Open(context.Background(), storage.Config{DSN: "sqlite:" + file, Migrate: true})
	if err != nil {
		return err
	}
	sealer, err := mfa.NewSealer(mfa.Key{Secret: sealingKey})
	if err != nil {
		return err
	}
	factors, err := mfa.New(mfa.Config{Store: db, Sealer: sealer, Issuer: "My App"})
	if err != nil {
		return err
	}
	attempts, err := mfa.NewAttempts(db, mfa.Budget{})
	if err != nil {
		return err
	}
	idp, err := provider.New(provider.Config{
		Issuer: "https://app.example/id", Directory: users, Store: db, Factor: factors, Attempts: attempts,
		Keys: db.Keys(sealer, storage.KeysConfig{}), Secrets: [][]byte{tokenSecret},
	})
	if err != nil {
		return err
	}
	app.Handle("/id/", idp)
	app.Handle("/.well-known/oauth-authorization-server/id", idp)
	return nil
}

// team is a directory of one's own.
type team map[string]provider.User

// Authenticate is where the app checks a password as it does today.
func (t team) Authenticate(_ context.Context, name, password string) (provider.User, error) {
	if u, ok := t[name]; ok && password == "only for this example" {
		return u, nil
	}
	return provider.User{}, provider.ErrNoUser
}

func (t team) User(_ context.Context, subject string) (provider.User, error) {
	for _, u := range t {
		if u.Subject == subject {
			return u, nil
		}
	}
	return provider.User{}, provider.ErrNoUser
}

// The provider in an app that has users already.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	app := http.NewServeMux()
	users := team{"ada": {Subject: "7f3e", Username: "ada", Epoch: "1"}}
	err = mount(app, users, filepath.Join(dir, "id.db"),
		[]byte("32 random bytes from your secrets"), []byte("32 other random bytes, likewise.."))
	if err != nil {
		log.Fatal(err)
	}

	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/id/.well-known/openid-configuration", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))

	w = httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/id/account", nil))
	fmt.Println(w.Code, w.Header().Get("Location")[:len("https://app.example/id/flow/")])
	// Output:
	// 200 application/json
	// 303 https://app.example/id/flow/
}
