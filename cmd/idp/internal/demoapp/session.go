package demoapp

import (
	"crypto/rand"
	"net/http"
	"time"
)

// current returns who is signed in, nil if nobody is.
func (a *App) current(r *http.Request) *login {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.session(r); s != nil {
		return s.login
	}
	return nil
}

// session returns the session of a browser, nil if it has none. The caller
// holds the lock.
func (a *App) session(r *http.Request) *session {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	s := a.sessions[c.Value]
	if s == nil || time.Since(s.created) > lifetime {
		return nil
	}
	return s
}

// remember keeps what a sign-in was begun with until its answer comes.
func (a *App) remember(w http.ResponseWriter, r *http.Request, state string, try attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.session(r)
	if s == nil {
		s = a.open(w, nil)
	}
	if len(s.pending) >= maxPending {
		clear(s.pending)
	}
	s.pending[state] = try
}

// take returns what a sign-in was begun with, once.
func (a *App) take(r *http.Request, state string) (attempt, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.session(r)
	if s == nil {
		return attempt{}, false
	}
	try, ok := s.pending[state]
	delete(s.pending, state)
	return try, ok
}

// keep keeps the receipt of a browser's last payment.
func (a *App) keep(r *http.Request, made *receipt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.session(r); s != nil {
		s.receipt = made
	}
}

// kept returns the receipt of a browser's last payment, nil if there is none.
func (a *App) kept(r *http.Request) *receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.session(r); s != nil {
		return s.receipt
	}
	return nil
}

// signIn puts l into a new session, so that a cookie which someone else may
// have planted before is worth nothing. Other tabs' sign-ins go with it.
func (a *App) signIn(w http.ResponseWriter, r *http.Request, l *login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.open(w, l)
	if old := a.session(r); old != nil {
		s.pending = old.pending
	}
	if c, err := r.Cookie(cookie); err == nil {
		delete(a.sessions, c.Value)
	}
}

// open makes a session and sends its cookie. The caller holds the lock.
func (a *App) open(w http.ResponseWriter, l *login) *session {
	if len(a.sessions) >= maxSessions {
		oldest, when := "", time.Now()
		for id, s := range a.sessions {
			if s.created.Before(when) {
				oldest, when = id, s.created
			}
		}
		delete(a.sessions, oldest)
	}
	id := rand.Text()
	s := &session{created: time.Now(), pending: map[string]attempt{}, login: l}
	a.sessions[id] = s
	// Lax: the browser comes back from the provider with it.
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return s
}
