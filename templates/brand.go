package templates

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Brand is whose pages these are. The zero Brand is Sallyport's.
type Brand struct {
	Name string // empty: Sallyport

	// Logo is an image shown beside the name, SVG or PNG. Nil: two doors.
	Logo []byte

	// Accent is the colour of buttons, links and the focus ring on light
	// ground, AccentDark on dark, each as #rrggbb. Empty: a calm green; an
	// empty AccentDark beside an Accent is derived from it. Wherever text
	// would be hard to read, a lighter or darker shade is used.
	Accent, AccentDark string
}

const (
	text4_5 = 4.5 // WCAG 2.2 success criterion 1.4.3: text on its ground
	parts3  = 3   // WCAG 2.2 success criterion 1.4.11: controls, the focus ring
)

// The grounds of style.css that an accent colour is seen on.
var (
	lightGrounds = []colour{{0xff, 0xff, 0xff}, {0xf6, 0xf5, 0xf1}}
	darkGrounds  = []colour{{0x1b, 0x1f, 0x1e}, {0x12, 0x15, 0x14}}
)

func (b Brand) withDefaults() Brand {
	if b.Name = clean(b.Name); b.Name == "" {
		b.Name = "Sallyport"
	}
	if b.Accent == "" && b.AccentDark == "" {
		b.AccentDark = "#86cdb4"
	}
	if b.Accent == "" {
		b.Accent = "#1d5c4b"
	}
	if b.AccentDark == "" {
		b.AccentDark = b.Accent
	}
	return b
}

// dress makes the assets: the stylesheet with the brand's colours in front,
// the logo and the icon.
func (s *Set) dress(css []byte) error {
	light, err := parseColour(s.brand.Accent)
	if err != nil {
		return err
	}
	dark, err := parseColour(s.brand.AccentDark)
	if err != nil {
		return err
	}
	light, dark = light.against(lightGrounds, parts3), dark.against(darkGrounds, parts3)
	var b bytes.Buffer
	fmt.Fprintf(&b, ":root {\n%s}\n", light.properties(lightGrounds))
	fmt.Fprintf(&b, "@media screen and (prefers-color-scheme: dark) {\n:root {\n%s}\n}\n", dark.properties(darkGrounds))
	b.Write(css)
	s.style = asset(b.Bytes(), ".css", "text/css; charset=utf-8")
	s.icon = asset(fmt.Appendf(nil, icon, light, light.on()), ".svg", "image/svg+xml")
	if s.brand.Logo == nil {
		return nil
	}
	switch {
	case bytes.HasPrefix(s.brand.Logo, []byte("\x89PNG\r\n\x1a\n")):
		s.logo = asset(s.brand.Logo, ".png", "image/png")
	case bytes.Contains(s.brand.Logo[:min(len(s.brand.Logo), 1024)], []byte("<svg")):
		s.logo = asset(s.brand.Logo, ".svg", "image/svg+xml")
	default:
		return fmt.Errorf("%w: the logo is neither SVG nor PNG", ErrBrand)
	}
	return nil
}

// icon is the two doors, one behind the other, on a tile: for the browser's
// tab. On pages brand.html draws them, in the colours of the page.
const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="%s"/>` +
	`<g fill="none" stroke="%s" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">` +
	`<path d="M7 25V15a9 9 0 0 1 18 0v10"/><path d="M12.5 25v-8.5a3.5 3.5 0 0 1 7 0V25z"/></g></svg>
`

func asset(data []byte, ext, kind string) Asset {
	sum := sha256.Sum256(data)
	return Asset{hex.EncodeToString(sum[:8]) + ext, kind, data}
}

// A colour is an sRGB colour.
type colour [3]uint8

func parseColour(s string) (c colour, err error) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "#"))
	if err != nil || len(s) != 7 || s[0] != '#' {
		return c, fmt.Errorf("%w: colour %s is not of the form #rrggbb", ErrBrand, strconv.Quote(s))
	}
	return colour(b), nil
}

// String returns c as #rrggbb.
func (c colour) String() string { return "#" + hex.EncodeToString(c[:]) }

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	var l float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

// contrast is the contrast ratio of WCAG 2.2, from 1 to 21.
func (c colour) contrast(d colour) float64 {
	a, b := c.luminance(), d.luminance()
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// mix returns c with share of d in it.
func (c colour) mix(d colour, share float64) colour {
	for i := range c {
		c[i] = uint8(math.Round(float64(c[i])*(1-share) + float64(d[i])*share))
	}
	return c
}

var black, white = colour{}, colour{0xff, 0xff, 0xff}

// away returns black or white, whichever is further from the grounds.
func away(grounds []colour) colour {
	if grounds[0].contrast(white) > grounds[0].contrast(black) {
		return white
	}
	return black
}

// against returns the shade nearest to c that stands out from all grounds by
// at least ratio.
func (c colour) against(grounds []colour, ratio float64) colour {
	for share := 0.0; share <= 1; share += 0.02 {
		shade, ok := c.mix(away(grounds), share), true
		for _, g := range grounds {
			ok = ok && shade.contrast(g) >= ratio
		}
		if ok {
			return shade
		}
	}
	return away(grounds)
}

// on returns the colour of text on c. Of near-black and white one always has
// enough contrast.
func (c colour) on() colour {
	if ink := (colour{0x0c, 0x14, 0x11}); c.contrast(ink) >= text4_5 && c.contrast(ink) > c.contrast(white) {
		return ink
	}
	if c.contrast(white) >= text4_5 {
		return white
	}
	return black
}

// properties returns the custom properties that style.css uses of a brand.
func (c colour) properties(grounds []colour) string {
	soft := grounds[0].mix(c, 0.08)
	return fmt.Sprintf("  --accent: %s;\n  --on-accent: %s;\n  --accent-strong: %s;\n  --accent-soft: %s;\n  --link: %s;\n",
		c, c.on(), c.mix(c.away(), 0.14), soft, c.against(append([]colour{soft}, grounds...), text4_5))
}

// away returns the colour that c is mixed with when a button is pointed at:
// the one that its text stands out from even more.
func (c colour) away() colour {
	if c.on() == white {
		return black
	}
	return white
}
