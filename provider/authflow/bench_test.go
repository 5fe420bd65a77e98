package authflow

import (
	"net/url"
	"testing"
	"time"
)

// The benchmarks are of the sign-in that is most common: a password, a code
// and a consent given before.

func BenchmarkNext(b *testing.B) {
	d := demand(b, "max_age=3600", mfa)
	m := at(d, time.Minute)
	m.Approved = true
	f := Flow{Created: t0, Login: login(t0, Password, OTP)}
	b.ReportAllocs()
	for b.Loop() {
		if step, err := f.Next(m); step != Granted {
			b.Fatal(step, err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	m := at(demand(b, "max_age=3600", mfa), time.Minute)
	f := Flow{Created: t0, Login: login(t0, Password)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Apply(factor(OTP), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGrant(b *testing.B) {
	m := at(demand(b, "max_age=3600", mfa), time.Minute)
	m.Approved = true
	f := Flow{Created: t0, Login: login(t0, Password, OTP)}
	b.ReportAllocs()
	for b.Loop() {
		if g, err := f.Grant(m); err != nil || g.ACR() != "mfa" {
			b.Fatal(g, err)
		}
	}
}

func BenchmarkBegin(b *testing.B) {
	d := demand(b, "max_age=3600", mfa)
	session := login(t0.Add(-time.Minute), Password, OTP)
	b.ReportAllocs()
	for b.Loop() {
		if f := Begin(d, session, t0); f.Pinned != "alice" {
			b.Fatal(f)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, query := range map[string]string{
		"plain":   "scope=openid+profile&state=x&nonce=y",
		"step-up": "scope=openid+profile&max_age=300&acr_values=phr+mfa",
		"claims":  `scope=openid&claims={"id_token":{"acr":{"essential":true,"values":["mfa"]}}}`,
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(form, mfa); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
