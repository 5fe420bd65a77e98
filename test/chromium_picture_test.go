package test

import (
	"bytes"
	"flag"
	"image/png"
	"math"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

var updateImages = flag.Bool("update-images", false, "draw the pictures of the README anew")

// screenshots is where every page that the browser comes by is drawn. It is not
// under version control.
const screenshots = "screenshots"

// narrow is the smallest phone that the pages are for.
var narrow = view{"320", 320, 640, 2, true}

// look sets the size of the window and the theme.
func (b *tab) look(v view, theme string) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: v.width, Height: v.height, DeviceScaleFactor: v.scale, Mobile: v.phone,
	})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		// Without the second one a picture shows colours on their way.
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
}

// inspect draws the page, wide and narrow, light and dark, checks that it never
// is wider than the window, and goes through it by Tab. WEB-5
func (b *tab) inspect(name string) {
	b.t.Helper()
	for _, v := range []view{narrow, b.wide} {
		for _, theme := range []string{"dark", "light"} {
			b.look(v, theme)
			m := call(b, cdppage.GetLayoutMetrics, cdp.Empty{})
			if got := m.CSSContentSize.Width; got > float64(v.width) {
				b.t.Errorf("%s is %v px wide in a window of %d", name, got, v.width)
			}
			height := math.Max(m.CSSContentSize.Height, float64(v.height))
			save(b, filepath.Join(screenshots, name+"-"+v.name+"-"+theme+".png"), b.picture(0, float64(v.width), height))
		}
	}
	b.tabs()
}

// picture draws a strip of the page that begins at top.
func (b *tab) picture(top, width, height float64) []byte {
	b.t.Helper()
	beyond := true
	return call(b, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
		Clip: &cdppage.Viewport{Y: top, Width: width, Height: height, Scale: 1}, CaptureBeyondViewport: &beyond,
	}).Data
}

// illustrate draws a picture of the README, if it was asked for.
func (b *tab) illustrate(name string) {
	b.t.Helper()
	if !*updateImages {
		return
	}
	v := view{"readme", 900, 720, 1, false}
	b.look(v, "light")
	save(b, filepath.Join("..", "docs", "images", name+".png"), b.picture(36, float64(v.width), 684))
	b.look(b.wide, "light")
}

func save(b *tab, name string, data []byte) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// scanned returns what the QR code on the page says, to the camera of a phone
// that points at the screen. As one does, it comes nearer until it can read it:
// of single pictures the decoder misses some in a hundred.
func (b *tab) scanned() string {
	b.t.Helper()
	var why error
	for _, scale := range []float64{1, 1.5, 2, 3, 4} {
		screen := call(b, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
			Clip: &cdppage.Viewport{Width: float64(b.wide.width), Height: float64(b.wide.height), Scale: scale},
		}).Data
		img, err := png.Decode(bytes.NewReader(screen))
		if err != nil {
			b.t.Fatal(err)
		}
		bits, err := gozxing.NewBinaryBitmapFromImage(img)
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := qrcode.NewQRCodeReader().Decode(bits, nil)
		if err == nil {
			return r.GetText()
		}
		why = err
	}
	b.t.Fatalf("no QR code can be read on this page: %v", why)
	return ""
}
