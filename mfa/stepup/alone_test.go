package stepup_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program that uses this package is built, and what came along is the
// standard library and go-jose: nothing of fosite, gorm or the rest of ours.
func TestThePackageStandsAlone(t *testing.T) {
	const ours = "github.com/sallyport-id/sallyport/"
	run := func(arg ...string) string {
		t.Helper()
		out, err := exec.Command("go", arg...).CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(arg, " "), err, out)
		}
		return string(out)
	}
	run("build", "-o", filepath.Join(t.TempDir(), "api"), "./testdata/api")
	seen := map[string]bool{}
	for dep := range strings.FieldsSeq(run("list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./testdata/api")) {
		seen[dep] = true
		switch {
		case dep == ours+"mfa/stepup", dep == ours+"mfa/stepup/testdata/api":
		case strings.HasPrefix(dep+"/", "github.com/go-jose/go-jose/v4/"):
		default:
			t.Errorf("%s comes along", dep)
		}
	}
	if !seen[ours+"mfa/stepup"] || !seen["github.com/go-jose/go-jose/v4"] {
		t.Errorf("the list is %v", seen)
	}
}
