// Command api is a program of somebody else's that uses package stepup, for
// the test that lists what comes along.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

func main() {
	guard, err := stepup.New(stepup.Config{Issuer: os.Getenv("ISSUER"), Audience: os.Getenv("AUDIENCE")})
	if err != nil {
		log.Fatal(err)
	}
	demand := stepup.Demand{ACR: []string{"mfa"}}
	http.Handle("/", guard.Require(demand)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, _ := stepup.From(r.Context())
		log.Printf("hello, %s", t.Subject)
	})))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
