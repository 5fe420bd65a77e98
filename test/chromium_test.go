package test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/ports"
)

// A visit is a browser at the demo.
type visit struct {
	*tab
	demo   *demo
	secret string   // of the authenticator, from the QR code
	codes  []string // for recovery, not used yet
	used   string   // the last one-time code
	step   int64    // of that code, in half minutes
}

// The whole of the demo in a browser, from the first login to a recovery code,
// without a script and without a mouse.
func TestBrowserWalksTheDemo(t *testing.T) {
	need(t, "chromium", "oathtool")
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	bin, dir, port := build(t), t.TempDir(), ports.For(t)
	if *updateImages {
		port = 8080
	}
	d := startDemo(t, ctx, bin, dir, port)
	v := &visit{tab: newTab(t, ctx), demo: d}

	first := v.firstLogin()
	v.goesBack()
	v.sendsMoney(true)

	d.stop()
	v.demo = startDemo(t, ctx, bin, dir, port)
	if again := v.demo; again.app != d.app || again.provider != d.provider || again.username != d.username || again.secret != d.secret {
		t.Errorf("the second start says otherwise than the first:\n%s\n%s", d.printed, again.printed)
	}
	if again := v.silentLogin(); again.AuthTime != first.AuthTime || again.Subject != first.Subject {
		t.Errorf("after a restart %+v, want %+v", again, first)
	}

	v.changesTheirMind()
	recovered := v.recoveryLogin()
	v.account()
	v.denies()
	v.signsOut()
	last := v.codeLogin()
	if recovered.AuthTime <= first.AuthTime || last.AuthTime <= recovered.AuthTime {
		t.Errorf("auth_time %d, %d, %d does not rise", first.AuthTime, recovered.AuthTime, last.AuthTime)
	}
	// Where scripts run there are none to run: the policy names no source of any.
	v.scripts(true)
	v.sendsMoney(false)
	v.scripts(false)
	v.errors()

	v.demo.stop()
	v.clean()
}

// firstLogin is that of someone who has no second factor yet.
func (v *visit) firstLogin() identity {
	v.t.Helper()
	v.open(v.demo.app)
	v.on("Welcome")
	v.inspect("app-welcome")
	v.follow("Sign in")

	v.on("Sign in", "to continue to Demo app")
	if x := v.focused(); x.name != "Username" {
		v.t.Errorf("the focus is on %s", x)
	}
	v.inspect("password")
	v.fill("Username", v.demo.username)
	v.fill("Password", "something else")
	if status := v.press("Continue"); status != 422 {
		v.t.Errorf("a wrong password: status %d", status)
	}
	v.on("Sign in")
	v.complains("Password", "match")
	v.inspect("password-wrong")
	if x := v.reach("textbox", "Username"); x.value != v.demo.username {
		v.t.Errorf("the username was lost: %q", x.value)
	}
	v.fill("Password", v.demo.secret)
	v.press("Continue")

	v.on("Add a second step", v.demo.username)
	v.inspect("enrollstart")
	v.press("Set up")

	v.on("Connect your app")
	v.inspect("enroll")
	v.secret = v.scan()
	v.code()
	v.press("Confirm")

	v.on("Save your recovery codes")
	v.inspect("codes")
	v.saveCodes()
	v.press("I have saved them")

	v.on("Allow Demo app?", "See your email address")
	v.inspect("consent")
	v.press("Allow")

	id := v.arrived("pwd", "otp")
	v.illustrate("app")
	v.inspect("app-signedin")
	return id
}

// scan reads the QR code and returns the secret that is in it.
func (v *visit) scan() string {
	v.t.Helper()
	u, err := url.Parse(v.scanned())
	if err != nil {
		v.t.Fatal(err)
	}
	secret := u.Query().Get("secret")
	if u.Scheme != "otpauth" || u.Host != "totp" || !strings.HasSuffix(u.Path, ":"+v.demo.username) || secret == "" {
		v.t.Fatalf("the QR code says %s", u)
	}
	// The same stands there for those who cannot scan it.
	v.reach("DisclosureTriangle", "Can’t scan? Enter the key by hand")
	v.keys(kbSpace)
	if shown := strings.ReplaceAll(v.said(), " ", ""); !strings.Contains(shown, secret) {
		v.t.Errorf("the key %s is not on the page: %s", secret, shown)
	}
	return secret
}

// code types the code that the authenticator shows, or the next one if that was
// used before. The provider takes a code half a minute early, and no earlier.
func (v *visit) code() {
	v.t.Helper()
	const half = 30
	now := func() int64 { return time.Now().Unix() / half }
	poll(v.t, v.ctx, "a new code", func() bool { return v.step <= now() })
	v.step = max(v.step+1, now())
	v.used = oathtool(v.t, v.secret, time.Unix(v.step*half, 0))
	v.fill("Code", v.used)
}

// saveCodes keeps the recovery codes, from the file and as they are shown.
func (v *visit) saveCodes() {
	v.t.Helper()
	code := regexp.MustCompile(`\b[0-9A-Z]{4}(-[0-9A-Z]{4})+\b`)
	v.codes = code.FindAllString(v.said(), -1)
	if len(v.codes) != 10 {
		v.t.Fatalf("%d recovery codes are shown: %s", len(v.codes), v.said())
	}
	name, file := v.download("Download as a text file")
	if got := code.FindAllString(file, -1); !slices.Equal(got, v.codes) || !strings.HasSuffix(name, ".txt") {
		v.t.Errorf("the file %s has %s, the page %s", name, got, v.codes)
	}
}

// complains fails the test unless the error words are tied to a field, which
// has the focus.
func (v *visit) complains(label, words string) {
	v.t.Helper()
	if x := v.focused(); x.name != label || !x.invalid || !strings.Contains(x.description, words) {
		v.t.Errorf("the focus is on %s (invalid: %v, described by %q), want %s with an error", x, x.invalid, x.description, label)
	}
}

// arrived stops the test unless the browser is back at the app, signed in by
// these methods, and returns what the app was told.
func (v *visit) arrived(methods ...string) (id identity) {
	v.t.Helper()
	v.on("Hello, Ada Byron", "You are signed in to this app.", "ada@example.com (verified)")
	if at := v.at(); at.String() != v.demo.app+"/" {
		v.t.Errorf("at %s", at)
	}
	words := map[string]string{"pwd": "a password", "otp": "a one-time code", "recovery": "a recovery code"}
	how := words[methods[0]] + " and " + words[methods[1]]
	if got := v.after("You used"); got != how {
		v.t.Errorf("the app says %q, want %q", got, how)
	}
	if got := v.after("That makes"); got != "two factors" {
		v.t.Errorf("the app says it makes %q", got)
	}
	v.reach("DisclosureTriangle", "ID token")
	v.keys(kbSpace)
	raw := v.said()
	raw = raw[strings.Index(raw, "{") : strings.Index(raw, "}")+1]
	if err := json.Unmarshal([]byte(raw), &id); err != nil {
		v.t.Fatalf("%v in %s", err, raw)
	}
	v.keys(kbSpace)
	if !slices.Equal(id.AMR, methods) || id.ACR != "mfa" || id.Issuer != v.demo.provider {
		v.t.Errorf("the ID token says %+v, want amr %s and acr mfa", id, methods)
	}
	return id
}

const kbSpace = " "

// goesBack goes back from the app to a page of the flow that has ended.
func (v *visit) goesBack() {
	v.t.Helper()
	v.back()
	v.on("You have already been here")
	v.inspect("ended-used")
}

// sendsMoney fills the form in wrong and right, approves what it is shown, and
// has sent it once. The bank forgets its accounts when the demo ends.
func (v *visit) sendsMoney(drawn bool) {
	v.t.Helper()
	inspect, illustrate := v.inspect, v.illustrate
	if !drawn {
		inspect, illustrate = func(string) {}, func(string) {}
	}
	v.open(v.demo.app)
	v.on("Send money", "1000.00 EUR of play money", "Nothing has been sent yet.")
	v.fill("Amount in EUR", "much")
	v.fill("To", "Grace Hopper")
	if status := v.press("Send money"); status != 422 {
		v.t.Errorf("a wrong amount: status %d", status)
	}
	v.complains("Amount in EUR", "Enter an amount")
	inspect("sendmoney-wrong")
	v.fill("Amount in EUR", "20")
	v.press("Send money")

	v.on("Enter your code", "wants to be sure it’s you before this: Send money", "Pay 20.00 EUR", "to Grace Hopper")
	illustrate("sendmoney")
	inspect("sendmoney-factor")
	v.code()
	v.press("Continue")
	v.on("Allow Demo app?", "Pay 20.00 EUR", "to Grace Hopper")
	inspect("sendmoney-consent")
	v.press("Allow")

	v.on("20.00 EUR sent to Grace Hopper", "980.00 EUR left", "What just happened", "insufficient_scope", "amr pwd otp", "acr mfa")
	if at := v.at(); at.String() != v.demo.app+"/sent" {
		v.t.Errorf("at %s", at)
	}
	illustrate("sent")
	inspect("sendmoney-sent")
	v.open(v.demo.app + "/sent")
	v.follow("Back to the app")
	v.on("Your transfers", "980.00 EUR of play money", "Grace Hopper 20.00 EUR")
	inspect("sendmoney-app")

	v.fill("Amount in EUR", "20")
	v.fill("To", "Mallory")
	v.press("Send money")
	v.on("Enter your code", "to Mallory")
	v.press("Cancel")
	v.on("Hello, Ada Byron", "You did not approve it, and nothing was sent.", "980.00 EUR of play money")
}

// silentLogin needs no page: the provider still knows the browser, the app,
// which keeps its sessions in memory, no longer does.
func (v *visit) silentLogin() identity {
	v.t.Helper()
	v.open(v.demo.app)
	v.on("Welcome")
	v.follow("Sign in")
	return v.arrived("pwd", "otp")
}

// changesTheirMind begins to sign in again and gives it up.
func (v *visit) changesTheirMind() {
	v.t.Helper()
	v.follow("Sign in again")
	v.on("Confirm it’s you", "to continue to Demo app")
	if x := v.focused(); x.name != "Password" {
		v.t.Errorf("the focus is on %s", x)
	}
	v.inspect("password-confirm")
	v.press("Cancel")
	v.on("Hello, Ada Byron", "You did not sign in again.")
	v.inspect("app-cancelled")
}

// recoveryLogin is that of someone who has lost the phone.
func (v *visit) recoveryLogin() identity {
	v.t.Helper()
	v.open(v.demo.app)
	v.follow("Sign in again")
	v.fill("Password", v.demo.secret)
	v.press("Continue")
	v.on("Enter your code", "to continue to Demo app")
	v.illustrate("factor")
	v.inspect("factor")
	// TO-2: the code that confirmed the enrolment is used up.
	v.fill("Code", v.used)
	if status := v.press("Continue"); status != 422 {
		v.t.Errorf("a code used before: status %d", status)
	}
	v.on("Enter your code")
	v.complains("Code", "That code")
	v.inspect("factor-wrong")
	v.follow("Use a recovery code instead")
	v.on("Use a recovery code")
	v.inspect("recovery")
	v.fill("Recovery code", strings.ToLower(v.codes[0]))
	v.press("Continue")
	return v.arrived("pwd", "recovery")
}

// account looks at the account page and takes the app's permission back.
func (v *visit) account() {
	v.t.Helper()
	v.open(v.demo.provider + "/account")
	v.on("Your account", "9 codes left", "This browser", "Demo app")
	v.inspect("account")
	v.press("Revoke Demo app")
	v.on("Your account", "None yet.")
	v.inspect("account-revoked")
}

// denies signs in anew and says no to what the app asks.
func (v *visit) denies() {
	v.t.Helper()
	v.open(v.demo.app)
	v.press("Sign out of the app")
	v.on("Welcome")
	v.follow("Sign in")
	v.on("Allow Demo app?")
	v.press("Deny")
	v.on("Welcome", "You did not sign in, and nothing was shared.")
	v.inspect("app-denied")
}

// signsOut leaves the provider.
func (v *visit) signsOut() {
	v.t.Helper()
	v.open(v.demo.provider + "/account")
	v.press("Sign out")
	v.on("You are signed out")
	v.inspect("signedout")
}

// codeLogin is that of every other day, and of one who has denied before.
func (v *visit) codeLogin() identity {
	v.t.Helper()
	v.open(v.demo.app)
	v.follow("Sign in")
	v.on("Sign in")
	v.fill("Username", v.demo.username)
	v.fill("Password", v.demo.secret)
	v.press("Continue")
	v.on("Enter your code")
	v.code()
	v.press("Continue")
	v.on("Allow Demo app?")
	v.press("Allow")
	return v.arrived("pwd", "otp")
}

// errors visits pages of those who came wrong.
func (v *visit) errors() {
	v.t.Helper()
	for _, wrong := range []struct {
		name, url, heading string
		status             int64
	}{
		{"error-client", v.demo.provider + "/authorize?client_id=nobody", "Unknown app", 400},
		{"error-notfound", v.demo.provider + "/nothing", "Nothing here", 404},
		{"app-failed", v.demo.app + "/callback?state=nothing", "That did not work", 400},
	} {
		if status := v.open(wrong.url); status != wrong.status {
			v.t.Errorf("%s: status %d, want %d", wrong.url, status, wrong.status)
		}
		v.on(wrong.heading)
		v.inspect(wrong.name)
	}
}
