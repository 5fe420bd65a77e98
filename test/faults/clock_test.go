package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A clocked replica has a clock of its own.
type clocked struct {
	*fleet.Replica
	t    *testing.T
	file string
	url  *url.URL
}

// ahead sets the clock to so much ahead of ours.
func (c *clocked) ahead(d time.Duration) {
	c.t.Helper()
	// A rename, so that nobody reads half of it.
	part := c.file + ".part"
	if err := os.WriteFile(part, []byte(strconv.Itoa(int(d/time.Second))), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(part, c.file); err != nil {
		c.t.Fatal(err)
	}
}

// A watchmaker's is a house of two replicas: the clock of right is as much ahead of
// ours as says when, that of wrong by skew more.
type watchmaker struct {
	*parlour
	right, wrong *clocked
	way          *detour
	when, skew   time.Duration
}

// set sets both clocks.
func (w *watchmaker) set(when, skew time.Duration) {
	w.when, w.skew = when, skew
	w.right.ahead(when)
	w.wrong.ahead(when + skew)
}

// begin sets the clocks so that a time step is 5 s old for who is right.
func (w *watchmaker) begin(skew time.Duration) (step int64) {
	now := time.Now().Unix()
	ahead := (35 - now%30) % 30
	w.set(time.Duration(ahead)*time.Second, skew)
	return (now + ahead) / 30
}

// at has everything that follows go to one replica.
func (w *watchmaker) at(c *clocked) { w.way.to.Store(c.url) }

// tries signs in at one replica with a code, in a new browser, and reports whether
// that was taken.
func (w *watchmaker) tries(c *clocked, user int, code string) (*person, bool) {
	w.Helper()
	w.at(c)
	v := &person{p: w.parlour, name: fleet.Username(user), secret: fleet.Secret(user)}
	v.again()
	v.to("otp")
	err := v.factor("otp", code)
	if err != nil && status(err) != 422 {
		w.Errorf("a code at a clock that is %v ahead: %v", w.skew, err)
	}
	return v, err == nil
}

// Two replicas have clocks that differ, and clocks step back. No code is good
// twice, nobody is kept out by it for longer than until the next code where a
// clock is right, and nothing lives longer than its limit and the difference.
func TestClocksThatDiffer(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	built, remove, err := fleet.BuildWithClock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	b := balancer(t)
	rounds := times(1, 20)
	w := &watchmaker{parlour: newParlour(t, fleet.Plan{Database: "postgres", Users: 40 * rounds, Issuer: b.URL}, 1)}
	w.house.Binary = built
	for _, c := range []**clocked{&w.right, &w.wrong} {
		*c = &clocked{t: t, file: filepath.Join(t.TempDir(), "ahead")}
		(*c).ahead(0)
		if (*c).Replica, err = w.house.Start(t.Context(), fleet.ClockEnv+"="+(*c).file); err != nil {
			t.Fatal(err)
		}
		if (*c).url, err = url.Parse((*c).URL); err != nil {
			t.Fatal(err)
		}
	}
	b.Set(w.right.Replica, w.wrong.Replica)
	w.way = &detour{RoundTripper: w.site.Transport}
	w.site.Transport = w.way

	user := 0
	taken, twice := map[bool]int{}, 0
	skews := []time.Duration{0, 30 * time.Second, 45 * time.Second, 90 * time.Second, time.Hour}
	for range rounds {
		for _, skew := range skews {
			for _, skew := range []time.Duration{skew, -skew} {
				for _, order := range [][]*clocked{{w.right, w.wrong}, {w.wrong, w.right}} {
					step := w.begin(skew)
					code := fleet.TOTP(fleet.Secret(user), step)
					_, first := w.tries(order[0], user, code)
					_, second := w.tries(order[1], user, code)
					taken[first]++
					switch {
					case first && second:
						twice++
						t.Errorf("a code was good twice, with a clock %v ahead", skew)
					case !first && (order[0] == w.right || skew.Abs() <= 30*time.Second):
						t.Errorf("a code of now is refused, with a clock %v ahead", skew)
					}
					if _, next := w.tries(w.right, user, fleet.TOTP(fleet.Secret(user), step+1)); !next {
						t.Errorf("with a clock %v ahead, the next code is refused where the clock is right", skew)
					}
					user++
				}
			}
		}
	}
	report(t, "codes tried at two clocks", user, "taken by the first", taken[true], "twice", twice)

	w.limits(user)
	w.back(user + 10)
}

// limits sees that what began by the wrong clock, 45 s ahead, ends for both when
// its time is over.
func (w *watchmaker) limits(user int) {
	const skew = 45 * time.Second
	enter := func() (*person, fleet.Tokens) {
		w.Helper()
		step := w.begin(skew)
		v, ok := w.tries(w.wrong, user, fleet.TOTP(fleet.Secret(user), step+1)) // whose clock is there already
		if !ok {
			w.Fatal("a code of now is refused")
		}
		user++
		return v, v.in()
	}
	both := func(what string, good bool, try func() error) {
		w.Helper()
		for _, c := range []*clocked{w.right, w.wrong} {
			w.at(c)
			if err := try(); (err == nil) != good {
				w.Errorf("%s: good is %v, want %v: %v", what, err == nil, good, err)
			}
		}
	}
	silently := func(v *person) func() error {
		return func() error {
			if to := w.silently(v); to.Query().Get("code") == "" {
				return fmt.Errorf("%s", to.Query().Get("error"))
			}
			return nil
		}
	}
	active := func(token string) func() error {
		return func() error {
			ok, err := w.site.Active(w.Context(), token)
			if err == nil && !ok {
				err = fmt.Errorf("it is not active")
			}
			return err
		}
	}

	// A session that nothing is asked of, and one that is used until its end.
	v, tokens := enter()
	both("a new session", true, silently(v))
	both("a new access token", true, active(tokens.Access))
	w.set(w.when+time.Hour+skew+time.Second, skew)
	both("an idle session", false, silently(v))
	both("an old access token", false, active(tokens.Access))

	v, tokens = enter()
	for range 14 {
		w.set(w.when+50*time.Minute, skew)
		both("a session in use", true, silently(v))
	}
	w.set(w.when+20*time.Minute+skew+time.Second, skew)
	both("a session after its 12 hours", false, silently(v))

	// Refresh: after so long, and right at once by the clock that is behind.
	w.at(w.right)
	fresh, err := w.site.Refresh(w.Context(), tokens.Refresh)
	w.must(err)
	w.set(w.when+14*24*time.Hour+skew+time.Second, skew)
	both("an idle refresh token", false, func() error { _, err := w.site.Refresh(w.Context(), fresh.Refresh); return err })

	// A code for tokens.
	for _, late := range []time.Duration{0, time.Minute + skew + time.Second} {
		step := w.begin(skew)
		v, ok := w.tries(w.wrong, user, fleet.TOTP(fleet.Secret(user), step+1))
		if !ok {
			w.Fatal("a code of now is refused")
		}
		user++
		v.to("")
		code, err := v.Code()
		w.must(err)
		w.set(w.when+late, skew)
		w.at(w.right)
		if _, err := v.Redeem(w.Context(), code); (err == nil) != (late == 0) {
			w.Errorf("a code that is %v old: %v", late, err)
		}
	}

	// A page that someone left open.
	step := w.begin(skew)
	w.at(w.wrong)
	open := &person{p: w.parlour, name: fleet.Username(user), secret: fleet.Secret(user)}
	open.again()
	open.to("otp")
	w.set(w.when+24*time.Hour+skew, skew)
	if err := open.factor("otp", fleet.TOTP(open.secret, step+24*60*2)); err == nil && open.Page.Step() != "" {
		w.Errorf("a page of yesterday is good, and leads to %q", open.Page.Step())
	}
}

// back sees that a replica whose clock steps back by an hour goes on.
func (w *watchmaker) back(user int) {
	step := w.begin(time.Hour)
	v, ok := w.tries(w.wrong, user, fleet.TOTP(fleet.Secret(user), step+120))
	if !ok {
		w.Fatal("a code of an hour ahead is refused by a clock that is there")
	}
	tokens := v.in()
	step = w.begin(0)
	for _, c := range []*clocked{w.wrong, w.right} {
		w.at(c)
		var err error
		tokens, err = w.site.Refresh(w.Context(), tokens.Refresh)
		w.must(err)
		if r, err := http.Get(c.URL + "/readyz"); err != nil || r.StatusCode != http.StatusOK {
			w.Errorf("ready: %v, %v", r, err)
		} else {
			r.Body.Close()
		}
		user++
		next, ok := w.tries(c, user, fleet.TOTP(fleet.Secret(user), step))
		if !ok {
			w.Error("after it has stepped back, a code of now is refused")
			continue
		}
		next.in()
		// Whose code was an hour ahead waits for as long: what was used in that
		// hour cannot be told from what was not.
		if _, ok := w.tries(c, user-1, fleet.TOTP(fleet.Secret(user-1), step)); ok && c == w.wrong {
			w.Error("a code from before the last one that was used is good")
		}
	}
}
