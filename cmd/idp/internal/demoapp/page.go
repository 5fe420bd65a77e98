package demoapp

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed pages.html style.css icon.svg
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages.html"))

func (a *App) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		a.config.Log.Error("demo app: rendering failed", "error", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	b.WriteTo(w)
}

// file serves the file that the request names.
func file(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, files, strings.TrimPrefix(r.URL.Path, "/"))
}

// A profile is what the page of someone who is signed in shows.
type profile struct {
	Notice        string // what has just happened
	Name, Initial string
	Issuer        string

	How, AMR   string // the methods, in words and as they came
	Level, ACR string
	When       string // auth_time, in words
	Instant    string // the same, for machines
	AuthTime   int64

	HasBank bool
	Money   statement
	Trouble trouble // why there is no statement
	Form    form

	Facts []fact

	IDToken, Userinfo string // as they came, indented
}

// A trouble is a sentence that says what to do. The zero trouble is none.
type trouble struct {
	Sentence string
	SignIn   bool // that is what to do
}

// A fact is a claim in words.
type fact struct{ Name, Value string }

func (a *App) describe(l *login, now time.Time) profile {
	var claims map[string]any
	if err := json.Unmarshal(l.userinfo, &claims); err != nil {
		claims = nil
	}
	name, _ := claims["name"].(string)
	username, _ := claims["preferred_username"].(string)
	name = cmp.Or(name, username, l.claims.Subject)
	at := time.Unix(l.claims.AuthTime, 0).UTC()
	return profile{
		Name: name, Initial: initial(name), Issuer: a.config.Issuer,
		How: methods(l.claims.AMR), AMR: strings.Join(l.claims.AMR, " "),
		Level: level(l.claims.ACR), ACR: l.claims.ACR,
		When: ago(at, now), Instant: at.Format(time.RFC3339), AuthTime: l.claims.AuthTime,
		Facts:   facts(claims),
		IDToken: indent(l.idToken), Userinfo: indent(l.userinfo),
	}
}

func initial(name string) string {
	for _, c := range name {
		return strings.ToUpper(string(c))
	}
	return ""
}

// methodNames put the values of amr into words (RFC 8176, and ours).
var methodNames = map[string]string{
	"pwd": "a password", "otp": "a one-time code", "recovery": "a recovery code", "pop": "a passkey",
}

func methods(amr []string) string {
	var names []string
	for _, m := range amr {
		names = append(names, cmp.Or(methodNames[m], m))
	}
	switch n := len(names); n {
	case 0:
		return "something that was not told"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

func level(acr string) string {
	switch acr {
	case "pwd":
		return "one factor"
	case "mfa":
		return "two factors"
	case "phr":
		return "phishing-resistant"
	}
	return acr
}

func ago(at, now time.Time) string {
	d := now.Sub(at)
	switch {
	case at.Unix() <= 0:
		return "at a time that was not told"
	case d < time.Minute:
		return "just now"
	case d < 2*time.Minute:
		return "a minute ago"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	}
	return at.Format("on 2 January 2006 at 15:04 UTC")
}

// claimNames are the claims that the page shows in words, in order.
var claimNames = []fact{
	{"name", "Name"}, {"nickname", "Nickname"}, {"preferred_username", "Username"},
	{"email", "Email"}, {"phone_number", "Phone"}, {"address", "Address"},
	{"birthdate", "Date of birth"}, {"gender", "Gender"}, {"website", "Website"},
	{"locale", "Language"}, {"zoneinfo", "Time zone"}, {"groups", "Groups"},
}

func facts(claims map[string]any) []fact {
	var all []fact
	for _, n := range claimNames {
		value := ""
		switch v := claims[n.Name].(type) {
		case string:
			value = v
		case []any:
			var parts []string
			for _, p := range v {
				parts = append(parts, fmt.Sprint(p))
			}
			slices.Sort(parts)
			value = strings.Join(parts, ", ")
		case map[string]any:
			value, _ = v["formatted"].(string)
		}
		if value == "" {
			continue
		}
		if claims[n.Name+"_verified"] == true {
			value += " (verified)"
		}
		all = append(all, fact{n.Value, strings.ReplaceAll(value, "\n", ", ")})
	}
	return all
}

func indent(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(raw)
	}
	return b.String()
}
