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
			draw(t, s, dir, v.name+"-"+lang, render(t, s, lang, v.page))
		}
	}
}

// draw makes one sheet of a page: wide and narrow, each light and dark.
func draw(t *testing.T, s *Set, dir, name, html string) {
	var sheet strings.Builder
	sheet.WriteString(`<body style="margin:0;display:flex">`)
	height := 900
	if strings.Contains(html, "<ul") || strings.Contains(html, "<ol") {
		height = 1400
	}
	for _, width := range []int{760, 320} {
		for _, mode := range []string{"light", "dark"} {
			condition := map[string]string{"light": "max-width", "dark": "min-width"}[mode]
			css := strings.ReplaceAll(string(s.style.Data), "prefers-color-scheme: dark", condition+": 1px")
			page := strings.ReplaceAll(html, "/assets/"+s.style.Name, mode+".css")
			for file, text := range map[string]string{mode + ".css": css, mode + ".html": page} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// Headless Chromium has no window narrower than 500 px: a frame has.
			fmt.Fprintf(&sheet, `<iframe src="%s.html" style="border:0;width:%dpx;height:%dpx"></iframe>`, mode, width, height)
		}
	}
	frame := filepath.Join(dir, "sheet.html")
	if err := os.WriteFile(frame, []byte(sheet.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--screenshot="+filepath.Join(dir, name+".png"),
		fmt.Sprintf("--window-size=%d,%d", 2*(760+320), height), "file://"+frame).CombinedOutput()
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
