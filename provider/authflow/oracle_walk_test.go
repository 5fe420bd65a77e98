package authflow_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// A tale is what came of a row, or should.
type tale struct {
	asked string // the answered pages, and of a factor those that were taken
	err   error  // why it was denied; nil: granted

	acr, amr  string
	at        time.Time // auth_time
	once      bool
	kept      authflow.Proofs // for the session
	counted   authflow.Proofs
	requested time.Time
	issued    time.Time
}

func (x tale) String() string {
	if x.err != nil {
		return fmt.Sprintf("[%s] %v", x.asked, x.err)
	}
	proofs := func(p authflow.Proofs) (text string) {
		for _, m := range everyMethod {
			if !p[m].IsZero() {
				text += fmt.Sprintf(" %s %v", m, p[m].Sub(began))
			}
		}
		return text
	}
	return fmt.Sprintf("[%s] acr %s amr %s auth_time %v once %v proofs%s kept%s",
		x.asked, x.acr, x.amr, x.at.Sub(began), x.once, proofs(x.counted), proofs(x.kept))
}

// walk goes through the flow of r as someone who does what they are asked, as
// well as they can.
func (r row) walk(t *testing.T) tale {
	d, err := authflow.Parse(r.form(), r.policy())
	if err != nil {
		return tale{err: err}
	}
	var pages []string
	f := authflow.Begin(d, r.login(), began)
	m := authflow.Moment{Demand: d, Now: began, Epoch: "e1", SessionEnded: r.ended}
	status := authflow.Status{Enrolled: enrolments[r.enrolled].methods(), MayEnroll: r.may > 0, Ticket: r.may == 2}
	for range 12 {
		m.Status, m.Approved = authflow.Status{}, false
		if f.Login.Subject != "" {
			m.Status, m.Approved = status, r.approved
		}
		step, err := f.Next(m)
		if _, e := f.Grant(m); (e == nil) != (step == authflow.Granted) {
			t.Fatalf("%v\n at step %v Grant says %v", r, step, e)
		}
		events := map[authflow.Step]authflow.Event{
			authflow.AskPassword: {Kind: authflow.PasswordOK, Login: authflow.Login{
				Subject: "alice", Epoch: m.Epoch, Proofs: authflow.Proofs{authflow.Password: m.Now},
			}},
			authflow.AskEnroll:  {Kind: authflow.Enrolled, Epoch: "e2"},
			authflow.AskConsent: {Kind: authflow.ConsentOK},
		}
		for s, e := range events {
			if g, err := f.Apply(e, m); s != step && (err == nil || g != f) {
				t.Fatalf("%v\n at step %v it takes %v: %v", r, step, e, err)
			}
		}
		page := ""
		switch step {
		case authflow.Denied:
			return tale{asked: strings.Join(pages, ", "), err: err}
		case authflow.Granted:
			return told(t, r, pages, f, m)
		case authflow.AskPassword:
			page = "password"
			r.impersonate(t, f, m)
			f, err = f.Apply(events[step], m)
		case authflow.AskEnroll:
			page = "enrol"
			f, err = f.Apply(events[step], m)
			status = authflow.Status{Enrolled: status.Enrolled | (otp | rec).methods(), Unsaved: r.codes}
			m.Epoch = "e2"
		case authflow.AskFactor:
			page, f, err = r.giveFactor(f, m)
		case authflow.ShowCodes:
			page, status.Unsaved = "codes", false
		case authflow.AskConsent:
			page = "consent"
			f, err = f.Apply(events[step], m)
		}
		if err != nil {
			t.Fatalf("%v\n after %v, asked for %s: %v", r, pages, page, err)
		}
		pages = append(pages, page)
		m.Now = m.Now.Add(paces[r.pace])
	}
	t.Fatalf("%v\n no end: %v", r, pages)
	return tale{}
}

// impersonate has another person give their password. The flow of a session is
// its user's (SU-5).
func (r row) impersonate(t *testing.T, f authflow.Flow, m authflow.Moment) {
	mallory := authflow.Event{Kind: authflow.PasswordOK, Login: authflow.Login{Subject: "mallory", Epoch: m.Epoch}}
	f, err := f.Apply(mallory, m)
	if err != nil {
		t.Fatalf("%v\n refuses a password: %v", r, err)
	}
	if _, err := f.Next(m); r.isKnown() && !errors.Is(err, authflow.ErrWrongSubject) {
		t.Fatalf("%v\n after the password of someone else: %v", r, err)
	}
}

// giveFactor gives the first factor of r's habit that f takes.
func (r row) giveFactor(f authflow.Flow, m authflow.Moment) (page string, next authflow.Flow, err error) {
	var taken set
	for _, one := range everyMethod {
		if _, err := f.Apply(authflow.Event{Kind: authflow.FactorOK, Method: one}, m); err == nil {
			taken |= 1 << one
		}
	}
	page = fmt.Sprintf("factor %s", taken)
	for _, one := range habits[r.habit] {
		if taken&(1<<one) != 0 && (f.Login.Proofs[one].Before(began) || f.Login.Proofs[one].IsZero()) {
			next, err = f.Apply(authflow.Event{Kind: authflow.FactorOK, Method: one}, m)
			return page, next, err
		}
	}
	return page, f, authflow.ErrOutOfStep
}

func told(t *testing.T, r row, pages []string, f authflow.Flow, m authflow.Moment) tale {
	g, err := f.Grant(m)
	if err != nil || g.Login().Subject != "alice" || g.Lasting().Subject != "alice" {
		t.Fatalf("%v\n grant to %q: %v", r, g.Login().Subject, err)
	}
	return tale{
		asked: strings.Join(pages, ", "), acr: g.ACR(), amr: strings.Join(g.AMR(), " "), at: g.AuthTime(),
		once: g.Once(), kept: g.Lasting().Proofs, counted: g.Login().Proofs, requested: g.Requested(), issued: m.Now,
	}
}
