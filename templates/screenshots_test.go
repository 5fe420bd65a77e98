package templates

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

var (
	screenshots = flag.String("screenshots", "", "directory to draw every page into, through Chromium")
	only        = flag.String("only", "", "draw pages whose name has this prefix alone")
)

// TestScreenshots draws what people see: every page, light and dark, at the
// width of a small phone and of a desktop, in every language.
//
//	go test ./templates -run TestScreenshots -args -screenshots DIR
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return // it is a tool, and judges nothing
	}
	dir, err := filepath.Abs(*screenshots)
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(t, Options{})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, lang := range s.Languages() {
		for _, v := range samples() {
			if !strings.HasPrefix(v.name, *only) {
				continue
			}
			if e, ok := v.page.(Enroll); ok {
				e.QR = code(t, e.URI)
				v.page = e
			}
			html := render(t, s, lang, v.page)
			for _, dark := range []bool{false, true} {
				for _, width := range []int{320, 1100} {
					draw(t, s, dir, fmt.Sprintf("%s-%s-%s-%d", v.name, lang, map[bool]string{false: "light", true: "dark"}[dark], width), html, dark, width)
				}
			}
		}
	}
}

func draw(t *testing.T, s *Set, dir, name, html string, dark bool, width int) {
	css := string(s.style.Data)
	if dark {
		css = strings.ReplaceAll(css, "and (prefers-color-scheme: dark)", "and (min-width: 1px)")
	} else {
		css = strings.ReplaceAll(css, "and (prefers-color-scheme: dark)", "and (max-width: 1px)")
	}
	cssFile, htmlFile := filepath.Join(dir, "page.css"), filepath.Join(dir, "page.html")
	frame := filepath.Join(dir, "frame.html")
	html = strings.ReplaceAll(html, "/assets/"+s.style.Name, "page.css")
	height := 1000
	if strings.HasPrefix(name, "account") || strings.HasPrefix(name, "enroll-") || strings.HasPrefix(name, "codes") || strings.HasPrefix(name, "consent") {
		height = 1500
	}
	// Headless Chromium has no window narrower than 500 px: a frame has.
	outer := fmt.Sprintf(`<body style="margin:0"><iframe src="page.html" style="border:0;width:%dpx;height:%dpx"></iframe>`, width, height)
	for file, text := range map[string]string{cssFile: css, htmlFile: html, frame: outer} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--allow-file-access-from-files", "--user-data-dir="+t.TempDir(), "--screenshot="+filepath.Join(dir, name+".png"),
		fmt.Sprintf("--window-size=%d,%d", max(width, 320), height), "file://"+frame).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func code(t *testing.T, uri string) []byte {
	c, err := qr.Encode(uri, qr.M, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = barcode.Scale(c, 400, 400); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
