package templates

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// palettes returns the custom properties of a stylesheet, light and dark.
func palettes(t *testing.T, css string) (light, dark map[string]colour) {
	t.Helper()
	light, dark = map[string]colour{}, map[string]colour{}
	block := regexp.MustCompile(`(?s)(@media screen and \(prefers-color-scheme: dark\) \{\s*)?:root \{(.*?)\}`)
	property := regexp.MustCompile(`(--[a-z-]+):\s*(#[0-9a-f]{6});`)
	for _, b := range block.FindAllStringSubmatch(css, -1) {
		into := light
		if b[1] != "" {
			into = dark
		}
		for _, p := range property.FindAllStringSubmatch(b[2], -1) {
			c, err := parseColour(p[2])
			if err != nil {
				t.Fatal(err)
			}
			into[p[1]] = c
		}
	}
	if len(light) < 10 || len(light) != len(dark) {
		t.Fatalf("%d light colours, %d dark ones", len(light), len(dark))
	}
	return light, dark
}

// pairs are what is seen on what, and by how much it must stand out.
var pairs = []struct {
	on, ground string
	ratio      float64
}{
	{"--ink", "--ground", 4.5}, {"--ink", "--surface", 4.5}, {"--ink", "--accent-soft", 4.5},
	{"--muted", "--ground", 4.5}, {"--muted", "--surface", 4.5},
	{"--danger", "--surface", 4.5}, {"--danger", "--danger-soft", 4.5},
	{"--link", "--ground", 4.5}, {"--link", "--surface", 4.5}, {"--link", "--accent-soft", 4.5},
	{"--on-accent", "--accent", 4.5}, {"--on-accent", "--accent-strong", 4.5},
	{"--accent", "--surface", 3}, {"--edge", "--surface", 3}, {"--danger", "--surface", 3},
}

func checkContrast(t *testing.T, s *Set) {
	t.Helper()
	light, dark := palettes(t, string(s.Stylesheet().Data))
	for name, palette := range map[string]map[string]colour{"light": light, "dark": dark} {
		for _, p := range pairs {
			on, ok1 := palette[p.on]
			ground, ok2 := palette[p.ground]
			if got := on.contrast(ground); !ok1 || !ok2 || got < p.ratio {
				t.Errorf("%s: %s %s on %s %s has contrast %.2f, want %.1f", name, p.on, on, p.ground, ground, got, p.ratio)
			}
		}
	}
}

// WEB-5
func TestColoursStandOut(t *testing.T) {
	checkContrast(t, newSet(t, Options{}))
}

// WEB-5
func TestNoBrandMakesAPageHardToRead(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	accents := []string{"#ffffff", "#000000", "#ffff00", "#808080", "#777777", "#ff0000", "#0000ff", "#00ff00", "#f6f5f1", "#1b1f1e"}
	for range 60 {
		accents = append(accents, colour{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32())}.String())
	}
	for i, accent := range accents {
		t.Run(accent, func(t *testing.T) {
			checkContrast(t, newSet(t, Options{Brand: Brand{Accent: accent, AccentDark: accents[len(accents)-1-i]}}))
		})
	}
}

// brand.go measures against grounds that style.css paints.
func TestTheGroundsAreThoseOfTheStylesheet(t *testing.T) {
	light, dark := palettes(t, string(newSet(t, Options{}).Stylesheet().Data))
	for i, name := range []string{"--surface", "--ground"} {
		if light[name] != lightGrounds[i] || dark[name] != darkGrounds[i] {
			t.Errorf("%s is %s and %s, brand.go thinks %s and %s", name, light[name], dark[name], lightGrounds[i], darkGrounds[i])
		}
	}
}

func TestUnusableBrandsAreRefused(t *testing.T) {
	for _, b := range []Brand{
		{Accent: "green"}, {Accent: "#12345"}, {Accent: "123456"}, {Accent: "#12345g"}, {AccentDark: "#1234567"},
		{Accent: "#fff;}*{display:none}"}, {Logo: []byte("GIF89a")}, {Logo: []byte{}},
	} {
		if _, err := New(Options{Brand: b}); err == nil || !strings.HasPrefix(err.Error(), ErrBrand.Error()) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

func TestALogoTakesThePlaceOfTheDoors(t *testing.T) {
	logo := []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`)
	s := newSet(t, Options{Base: "/auth/", Brand: Brand{Name: "North <b>wind", Logo: logo}})
	doc := parse(t, render(t, s, "en", SignedOut{}))
	header := find(doc, "header")[0]
	if text(header) != "North <b>wind" || len(find(header, "svg")) != 0 {
		t.Errorf("the header says %q", text(header))
	}
	src, _ := attr(find(header, "img")[0], "src")
	name, ok := strings.CutPrefix(src, "/auth/assets/")
	if a, found := s.Asset(name); !ok || !found || string(a.Data) != string(logo) || a.Type != "image/svg+xml" {
		t.Errorf("%s leads to %+v", src, a)
	}
}

// Every asset that a page names is there, and its name tells its content.
func TestAssetsAreThereUnderANameOfTheirContent(t *testing.T) {
	s, other := newSet(t, Options{}), newSet(t, Options{Brand: Brand{Accent: "#123456"}})
	for _, n := range find(parse(t, render(t, s, "en", SignedOut{})), "link") {
		href, _ := attr(n, "href")
		if a, ok := s.Asset(strings.TrimPrefix(href, "/assets/")); !ok || len(a.Data) == 0 || a.Type == "" {
			t.Errorf("%s is not there", href)
		}
	}
	if s.Stylesheet().Name == other.Stylesheet().Name {
		t.Error("two stylesheets have one name")
	}
	if _, ok := s.Asset(""); ok {
		t.Error("an asset without a name")
	}
}
