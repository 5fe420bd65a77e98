package faults

import (
	"testing"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A login goes on over all replicas: no two of its requests meet the same one.
func TestAFlowBegunOnOneReplicaGoesOnOverAllOthers(t *testing.T) {
	t.Parallel()
	b := balancer(t)
	h := open(t, fleet.Plan{Database: "postgres", Users: 30, Issuer: b.URL})
	replicas := start(t, h, 3)
	b.Set(replicas...)
	site, crowd := visit(t, h), fleet.NewCrowd(30)
	logins := times(10, 30)
	for range logins {
		user, code, err := crowd.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := site.Login(t.Context(), user, code)
		if err != nil {
			t.Fatal(err)
		}
		if tokens, err = site.Refresh(t.Context(), tokens.Refresh); err != nil {
			t.Fatal(err)
		}
		if active, err := site.Active(t.Context(), tokens.Access); err != nil || !active {
			t.Fatalf("a new token is active: %v, %v", active, err)
		}
	}
	for _, r := range replicas {
		if b.Sent()[r.URL] < logins {
			t.Errorf("%s was sent %d requests, of %d logins", r.URL, b.Sent()[r.URL], logins)
		}
	}
	report(t, "logins", logins, "replicas", len(replicas), "requests", b.Sent())
}
