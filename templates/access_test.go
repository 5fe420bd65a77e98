package templates

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// each page in each language.
func eachPage(t *testing.T, f func(t *testing.T, page Page, doc *html.Node)) {
	s := newSet(t, Options{})
	for _, lang := range s.Languages() {
		for _, v := range samples() {
			t.Run(lang+"/"+v.name, func(t *testing.T) {
				doc := parse(t, render(t, s, lang, v.page))
				if root := find(doc, "html")[0]; !is(root, "lang", lang) || !is(root, "dir", "ltr") {
					t.Errorf("html has %v", root.Attr)
				}
				f(t, v.page, doc)
			})
		}
	}
}

func byID(doc *html.Node, id string) *html.Node {
	for _, n := range find(doc, "") {
		if is(n, "id", id) {
			return n
		}
	}
	return nil
}

// visible returns the fields that people fill in.
func visible(doc *html.Node) []*html.Node {
	return slices.DeleteFunc(find(doc, "input"), func(n *html.Node) bool { return is(n, "type", "hidden") })
}

// WEB-5
func TestPagesHaveLandmarksAndOneHeading(t *testing.T) {
	eachPage(t, func(t *testing.T, _ Page, doc *html.Node) {
		for _, name := range []string{"title", "header", "main", "h1"} {
			if n := find(doc, name); len(n) != 1 || name != "main" && text(n[0]) == "" {
				t.Errorf("%d times %s, or an empty one", len(n), name)
			}
		}
		for _, s := range find(doc, "section") {
			if id, _ := attr(s, "aria-labelledby"); byID(doc, id) == nil {
				t.Errorf("a section without a name")
			}
		}
		if meta := find(doc, "meta"); !slices.ContainsFunc(meta, func(n *html.Node) bool {
			return is(n, "name", "viewport") && is(n, "content", "width=device-width, initial-scale=1")
		}) {
			t.Error("no viewport, or one that forbids zooming")
		}
	})
}

// WEB-5
func TestEveryFieldIsLabelledAndFilledIn(t *testing.T) {
	fill := map[string]string{"username": "username", "password": "current-password", "ticket": "off"}
	eachPage(t, func(t *testing.T, p Page, doc *html.Node) {
		labels := find(doc, "label")
		for _, n := range visible(doc) {
			id, _ := attr(n, "id")
			name, _ := attr(n, "name")
			named := slices.DeleteFunc(slices.Clone(labels), func(l *html.Node) bool { return !is(l, "for", id) })
			if len(named) != 1 || text(named[0]) == "" {
				t.Errorf("field %s has %d labels", id, len(named))
			}
			want := fill[name]
			if name == "code" {
				want = "one-time-code"
				if _, ok := p.(Recovery); ok {
					want = "off"
				}
			}
			if want == "" || !is(n, "autocomplete", want) {
				t.Errorf("field %s: autocomplete is not %q", name, want)
			}
			if want == "one-time-code" && !is(n, "inputmode", "numeric") {
				t.Errorf("field %s: no numeric keys", name)
			}
			if value, ok := attr(n, "value"); ok && value != "" && name != "username" {
				t.Errorf("field %s: comes with the value %q", name, value)
			}
		}
		if len(labels) != len(visible(doc)) {
			t.Errorf("%d labels for %d fields", len(labels), len(visible(doc)))
		}
	})
}

// WEB-5
func TestErrorsAreTiedToTheirField(t *testing.T) {
	eachPage(t, func(t *testing.T, p Page, doc *html.Node) {
		var wrong []*html.Node
		for _, n := range visible(doc) {
			if is(n, "aria-invalid", "true") {
				wrong = append(wrong, n)
			}
		}
		m, _ := p.messages()
		switch {
		case m == nil:
			if len(wrong) != 0 {
				t.Error("a field in error, and no error")
			}
			return
		case about(p) == "":
			if len(wrong) != 0 || !slices.ContainsFunc(find(doc, "p"), func(n *html.Node) bool { return is(n, "role", "alert") && text(n) != "" }) {
				t.Error("what is wrong with no field is not said on its own")
			}
			return
		case len(wrong) != 1 || !is(wrong[0], "name", about(p)):
			t.Fatalf("%d fields in error", len(wrong))
		}
		ids, _ := attr(wrong[0], "aria-describedby")
		said := byID(doc, strings.Fields(ids)[0])
		if said == nil || text(said) == "" {
			t.Fatal("the field in error is not described by the error")
		}
		if title := text(find(doc, "title")[0]); !strings.HasPrefix(title, text(said)) {
			t.Errorf("title %q does not begin with %q", title, text(said))
		}
		if _, ok := attr(wrong[0], "autofocus"); !ok {
			t.Error("the field in error has not the focus")
		}
	})
}

// WEB-5
func TestReferencesHoldAndFocusIsOne(t *testing.T) {
	eachPage(t, func(t *testing.T, _ Page, doc *html.Node) {
		seen, focus := map[string]bool{}, 0
		for _, n := range find(doc, "") {
			if id, ok := attr(n, "id"); ok {
				if seen[id] {
					t.Errorf("id %s stands twice", id)
				}
				seen[id] = true
			}
			if _, ok := attr(n, "autofocus"); ok {
				focus++
			}
			for _, key := range []string{"aria-describedby", "aria-labelledby"} {
				ids, _ := attr(n, key)
				for _, id := range strings.Fields(ids) {
					if target := byID(doc, id); target == nil || text(target) == "" {
						t.Errorf("%s=%s leads nowhere", key, id)
					}
				}
			}
		}
		if focus > 1 {
			t.Errorf("%d fields want the focus", focus)
		}
		for _, n := range append(find(doc, "button"), find(doc, "a")...) {
			if text(n) == "" {
				t.Error("a button or link says nothing")
			}
		}
		for _, n := range find(doc, "img") {
			if _, ok := attr(n, "alt"); !ok {
				t.Error("a picture without alt")
			}
		}
		for _, n := range find(doc, "svg") {
			if !is(n, "aria-hidden", "true") {
				t.Error("a drawing that is read out")
			}
		}
	})
}

// WEB-1, and the contract with package provider. The one form that leads
// elsewhere has its own test.
func TestEveryFormPostsAStep(t *testing.T) {
	steps := map[string][]string{
		"password": {"password", "switch", "cancel"}, "factor": {"otp", "cancel"}, "recovery": {"recovery", "cancel"},
		"enrollstart": {"enroll", "cancel"}, "enroll": {"confirm", "cancel"}, "codes": {"saved"}, "consent": {"consent"}, "signout": {"sign-out"},
		"account": {"end-session", "end-all", "revoke", "replace-factor", "new-codes", "sign-out"},
	}
	met := map[string]bool{}
	eachPage(t, func(t *testing.T, p Page, doc *html.Node) {
		if _, elsewhere := p.(FormPost); elsewhere {
			return
		}
		for _, form := range find(doc, "form") {
			step := ""
			for _, n := range find(form, "input") {
				if is(n, "name", "step") {
					step, _ = attr(n, "value")
				}
			}
			if action, _ := attr(form, "action"); !is(form, "method", "post") || action == "" || !slices.Contains(steps[p.file()], step) {
				t.Errorf("a form %v with step %q", form.Attr, step)
			}
			met[p.file()+" "+step] = true
		}
	})
	for page, all := range steps {
		for _, step := range all {
			if !met[page+" "+step] {
				t.Errorf("no sample of %s has step=%s", page, step)
			}
		}
	}
}

// WEB-2
func TestPagesNeedNoScriptAndNothingFromElsewhere(t *testing.T) {
	eachPage(t, func(t *testing.T, p Page, doc *html.Node) {
		_, leaves := p.(FormPost)
		for _, n := range find(doc, "") {
			if n.Data == "script" && !leaves || n.Data == "style" {
				t.Errorf("a %s", n.Data)
			}
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s=%q", a.Key, a.Val)
				}
				if _, out := p.(SignedOut); out && n.Data == "iframe" && a.Key == "src" {
					continue // an app's, to sign out there
				}
				if (a.Key == "src" || n.Data == "link" && a.Key == "href") && !strings.HasPrefix(a.Val, "/assets/") && !strings.HasPrefix(a.Val, "data:image/png;base64,") {
					t.Errorf("%s is fetched", a.Val)
				}
			}
		}
	})
}

// OAuth 2.0 Form Post Response Mode section 2: with a script or by a button,
// the same is sent, to the same place.
func TestAFormPostHasAButtonAndTheOneScript(t *testing.T) {
	met := 0
	eachPage(t, func(t *testing.T, page Page, doc *html.Node) {
		p, ok := page.(FormPost)
		if !ok {
			return
		}
		met++
		form, script := find(doc, "form"), find(doc, "script")
		if len(form) != 1 || !is(form[0], "method", "post") || !is(form[0], "action", p.Action) {
			t.Fatalf("%d forms, %v", len(form), form[0].Attr)
		}
		if len(script) != 1 || len(script[0].Attr) != 0 || script[0].FirstChild.Data != FormPostScript {
			t.Fatalf("%d scripts", len(script))
		}
		var got []Field
		for _, n := range find(form[0], "input") {
			name, _ := attr(n, "name")
			value, _ := attr(n, "value")
			got = append(got, Field{name, value})
		}
		if !slices.Equal(got, p.Fields) {
			t.Errorf("fields %q, want %q", got, p.Fields)
		}
		// A field called submit would take the place of what the script calls.
		if buttons := find(form[0], "button"); len(buttons) != 1 || !is(buttons[0], "type", "submit") || text(buttons[0]) == "" {
			t.Error("no button")
		}
	})
	if met < 2 {
		t.Error("no sample of the page")
	}
}

// What was typed comes back as it was, whatever a page would show of it.
func TestWhatWasTypedIsKept(t *testing.T) {
	s := newSet(t, Options{})
	for _, typed := range []string{"ada ", "a\"b<c>&amp;'", "\u202eada", "שלום", strings.Repeat("é", 300)} {
		doc := parse(t, render(t, s, "en", Password{Flow: Flow{Action: "/", Username: typed, Problem: &Message{Text: PasswordWrong}}}))
		if got, _ := attr(byID(doc, "username"), "value"); got != typed {
			t.Errorf("typed %q, got %q", typed, got)
		}
	}
}

func TestAPinnedNameCannotBeChanged(t *testing.T) {
	s := newSet(t, Options{})
	doc := parse(t, render(t, s, "en", Password{Flow{Action: "/", Username: "ada"}, true}))
	name := byID(doc, "username")
	if _, ok := attr(name, "readonly"); !ok || !is(name, "value", "ada") || !is(name, "autocomplete", "username") {
		t.Errorf("username is %v", name.Attr)
	}
}

// OpenID Connect Front-Channel Logout section 3: frames of apps alone, which
// cannot take the page away, and a way on that needs neither script nor waiting.
func TestASignedOutPageShowsFramesAndLeadsOn(t *testing.T) {
	s := newSet(t, Options{})
	for uri, want := range map[string]string{
		"https://app.example/?state=%20%22+x": "https://app.example/?state=%20%22+x",
		"http://127.0.0.1:7/bye":              "http://127.0.0.1:7/bye",
		"com.example.app:/bye":                "com.example.app:/bye",
		"http://app.example/":                 "",
		"javascript:alert(1)":                 "",
		"data:text/html,x":                    "",
		"//app.example/":                      "",
		"":                                    "",
	} {
		doc := parse(t, render(t, s, "en", SignedOut{Frames: []string{uri, "https://other.example/out"}, ContinueURL: uri}))
		links, frames := find(doc, "a"), find(doc, "iframe")
		if want == "" && len(links) > 0 || want != "" && (len(links) != 1 || !is(links[0], "href", want)) {
			t.Errorf("%s: %d links on, want one to %q", uri, len(links), want)
		}
		shown := 1
		if strings.HasPrefix(want, "http") {
			shown = 2
		}
		if len(frames) != shown || !is(frames[shown-1], "src", "https://other.example/out") {
			t.Errorf("%s: %d frames, want %d", uri, len(frames), shown)
		}
		for _, f := range frames {
			if !is(f, "sandbox", "allow-scripts allow-same-origin allow-forms") || !is(f, "hidden", "") {
				t.Errorf("%s: a frame %v", uri, f.Attr)
			}
		}
	}
}
