package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport-id/sallyport"

// layers says what each package may import of this module. It is policy: a new
// package gets a row here, and an old one a new right only for a reason that
// stands in its doc.go. "..." stands for everything below, a lone "..." for the
// whole module.
const layers = `
provider/authflow:
templates:
provider/internal/engine: provider/authflow
provider/internal/fetch:
provider:                 provider/authflow provider/internal/engine provider/internal/fetch templates
mfa:                      provider/authflow
mfa/stepup:
storage/password:
storage/internal/sqlite:
storage:                  mfa provider provider/authflow storage/internal/sqlite storage/password
storage/storagetest:      mfa provider provider/authflow
cmd/idp/internal/certtest:
cmd/idp/internal/config:  provider provider/authflow storage/password
cmd/idp/internal/demoapp: mfa/stepup
cmd/idp/internal/notify:  cmd/idp/internal/config provider
cmd/idp/internal/notify/smtptest:
cmd/idp/internal/server:
cmd/idp/internal/userfile: mfa provider storage/password
cmd/idp:                  cmd/idp/internal/... mfa provider provider/authflow storage storage/password templates
test/...:                 ...
`

// walls says what a package must not reach of anything outside this module,
// even through others. "*" is every third party.
const walls = `
provider/authflow:        * net/http database/sql
templates:                * net/http database/sql
mfa:                      net/http database/sql gorm.io/ github.com/ory/
mfa/stepup:               gorm.io/ github.com/ory/ github.com/sallyport-id/
provider/internal/engine: gorm.io/
provider/internal/fetch:  database/sql gorm.io/ github.com/ory/
provider:                 gorm.io/
storage/internal/sqlite:  net/http github.com/ory/ github.com/jackc/
storage/password:         net/http database/sql gorm.io/ github.com/ory/
cmd/idp/internal/demoapp: gorm.io/ github.com/ory/
`

// owners says who alone may import a module outside: what is fenced in stays
// fenced in.
const owners = `
github.com/ory/:         provider/internal/engine
github.com/go-jose/:     mfa/stepup provider provider/internal/engine
code.dny.dev/ssrf:       provider/internal/fetch
github.com/santhosh-tekuri/: provider
gorm.io/:                storage storage/internal/sqlite
modernc.org/:            storage/internal/sqlite test/explain test/load
github.com/pressly/:     storage
github.com/jackc/:       storage test/fleet test/pg test/pg/withpg test/explain test/load
github.com/go-crypt/:    mfa storage/password
github.com/spf13/:       cmd/idp
go.yaml.in/:             cmd/idp/internal/config
flag:                    cmd/idp test/load
`

// judges are relying parties and browsers of others that the tests in test
// alone may import. No package of ours reaches them, so that nobody who builds
// us builds them.
const judges = `
github.com/zitadel/:
github.com/chromedp/:
github.com/makiuchi-d/:
`

// A listed is a package as go list sees it.
type listed struct{ imports, deps, tests []string }

func TestThePackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	packages := list(t)
	rules := table(t, layers)
	for pkg, is := range packages {
		allowed, ok := rules[row(rules, pkg)]
		if !ok {
			t.Errorf("package %s has no row among the layers", pkg)
		}
		for _, imp := range is.imports {
			rel, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.ContainsFunc(allowed, func(a string) bool { return within(rel, a) }) {
				t.Errorf("%s imports %s", pkg, rel)
			}
		}
	}
	for pkg := range rules {
		if _, ok := packages[pkg]; !ok && !strings.HasSuffix(pkg, "...") {
			t.Errorf("there is no package %s", pkg)
		}
	}
}

func TestNoPackageReachesBeyondItsWalls(t *testing.T) {
	packages := list(t)
	for pkg, banned := range table(t, walls) {
		for _, dep := range packages[pkg].deps {
			for _, b := range banned {
				if b == "*" && thirdParty(dep) || b != "*" && under(dep, b) {
					t.Errorf("%s reaches %s", pkg, dep)
				}
			}
		}
	}
	for judge := range table(t, judges) {
		for pkg, is := range packages {
			used := is.deps
			if pkg != "test" {
				used = slices.Concat(is.deps, is.tests)
			}
			if slices.ContainsFunc(used, func(dep string) bool { return under(dep, judge) }) {
				t.Errorf("%s reaches %s, which is for the tests in test alone", pkg, judge)
			}
		}
		if !slices.ContainsFunc(packages["test"].tests, func(dep string) bool { return under(dep, judge) }) {
			t.Errorf("%s judges nothing", judge)
		}
	}
	for outside, owners := range table(t, owners) {
		for pkg, is := range packages {
			for _, imp := range is.imports {
				if under(imp, outside) && !slices.Contains(owners, pkg) {
					t.Errorf("%s imports %s, which is for %v", pkg, imp, owners)
				}
			}
		}
	}
}

// The gate, as design.md has it: codes come from one call of fosite, that call
// is in one function, which is called in one function, and both take as their
// last parameter the evidence that only a flow that waits for nothing more
// gives.
func TestOneIssuer(t *testing.T) {
	type caller struct{ pkg, function, last string }
	made := func(name string) (found []caller) {
		each(t, func(pkg string, file *ast.File) {
			for _, decl := range file.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				ast.Inspect(decl, func(n ast.Node) bool {
					if sel, is := n.(*ast.SelectorExpr); is && sel.Sel.Name == name {
						c := caller{pkg: pkg}
						if ok {
							c.function, c.last = fn.Name.Name, lastParameter(file, fn)
						}
						found = append(found, c)
					}
					return true
				})
			}
		})
		return found
	}
	evidence := module + "/provider/authflow.Grant"
	for _, want := range []struct {
		call string
		by   caller
	}{
		{"NewAuthorizeResponse", caller{"provider/internal/engine", "Issue", evidence}},
		{"Issue", caller{"provider", "issue", evidence}},
	} {
		if got := made(want.call); !slices.Equal(got, []caller{want.by}) {
			t.Errorf("%s is called by %v, want %v alone", want.call, got, want.by)
		}
	}
	each(t, func(pkg string, file *ast.File) {
		if pkg == "provider/authflow" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok && typeName(file, lit.Type) == evidence {
				t.Errorf("package %s makes an authflow.Grant of its own", pkg)
			}
			return true
		})
	})
}

// each calls fn with every Go file of the module that is no test.
func each(t *testing.T, fn func(pkg string, file *ast.File)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		rel, err := filepath.Rel("..", filepath.Dir(name))
		fn(filepath.ToSlash(rel), file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 30 {
		t.Fatalf("only %d files were found", files)
	}
}

// lastParameter returns the type of fn's last parameter.
func lastParameter(file *ast.File, fn *ast.FuncDecl) string {
	params := fn.Type.Params.List
	if len(params) == 0 {
		return ""
	}
	return typeName(file, params[len(params)-1].Type)
}

// typeName returns a type of another package with that package's path, and
// the empty string for any other.
func typeName(file *ast.File, e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, imp := range file.Imports {
		from, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(from)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		if name == id.Name {
			return from + "." + sel.Sel.Name
		}
	}
	return ""
}

// list returns every package of the module by its path in it.
func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}};{{join .Imports " "}};{{join .Deps " "}};{{join .TestImports " "}} {{join .XTestImports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	for line := range strings.Lines(string(out)) {
		col := strings.Split(strings.TrimSpace(line), ";")
		all[strings.TrimPrefix(col[0], module+"/")] = listed{strings.Fields(col[1]), strings.Fields(col[2]), strings.Fields(col[3])}
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}

// table reads rows of a name, a colon and words. The name of a module may not
// have a colon.
func table(t *testing.T, s string) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(s)) {
		k, v, ok := strings.Cut(line, ":")
		if !ok || rows[k] != nil {
			t.Fatalf("row %q has no colon or stands twice", line)
		}
		rows[k] = append([]string{}, strings.Fields(v)...)
	}
	return rows
}

// row returns the name of pkg's row: its own, or the one with "..." above it.
func row(rules map[string][]string, pkg string) string {
	if _, ok := rules[pkg]; ok {
		return pkg
	}
	for name := range rules {
		if strings.HasSuffix(name, "...") && within(pkg, name) {
			return name
		}
	}
	return pkg
}

// within reports whether pattern, which may end in "...", covers pkg.
func within(pkg, pattern string) bool {
	if above, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(pkg+"/", above)
	}
	return pkg == pattern
}

// under reports whether dep is prefix or, where that ends in a slash, below it.
func under(dep, prefix string) bool {
	return dep == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(dep, prefix)
}

// thirdParty reports whether dep is neither ours nor of the standard library.
func thirdParty(dep string) bool {
	first, _, _ := strings.Cut(dep, "/")
	return strings.Contains(first, ".") && !under(dep, module+"/")
}
