package config_test

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
)

func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// secret returns 32 random bytes in base64.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The example is what people copy: it must load as it stands, given the
// secrets it names.
func TestTheExampleLoads(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "idp.yaml")
	write(t, path, example(t))
	for _, name := range []string{"sealing-2026-11.key", "tokens.key", "smtp.password", "wiki.secret"} {
		write(t, filepath.Join(dir, "secrets", name), secret()+"\n")
	}
	write(t, filepath.Join(dir, "schemas", "payment.json"), `{"additionalProperties":false}`)
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Database.SQLite, filepath.Join(dir, "idp.db"); got != want {
		t.Errorf("a relative path became %s, want %s", got, want)
	}
	if got := c.Clients[0].Record().Secrets; len(got) != 1 {
		t.Errorf("got %d secrets of the client wiki, want the one in its file", len(got))
	}
}

// unset finds "#key:" without a space, a key that the example shows but does
// not set.
var unset = regexp.MustCompile(`(?m)^(\s*(?:- )?)#([a-z][a-z0-9_]*:)`)

func TestTheExampleShowsEveryKey(t *testing.T) {
	text := unset.ReplaceAllString(example(t), "$1$2")
	if _, err := config.Parse("config.example.yaml", []byte(text)); err != nil {
		t.Fatalf("with every key set: %v", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	collect(doc.Content[0], "", shown)
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		if !shown[key] {
			t.Errorf("config.example.yaml says nothing of %s", key)
		}
	}
}

// What the example calls a default is one.
func TestTheExampleTellsTheDefaults(t *testing.T) {
	stated := strings.Split(example(t), "\n# Relying parties that this file owns")[0]
	c, err := config.Parse("config.example.yaml", []byte(stated))
	if err != nil {
		t.Fatal(err)
	}
	d := config.Default()
	for _, v := range []struct {
		key       string
		got, want any
	}{
		{"listen", c.Listen, d.Listen}, {"floor", c.Floor, d.Floor}, {"enrolment", c.Enrolment, d.Enrolment},
		{"totp", c.TOTP, d.TOTP}, {"passwords", c.Passwords, d.Passwords}, {"lifetimes", c.Lifetimes, d.Lifetimes},
		{"keys", c.Keys, d.Keys}, {"log", c.Log, d.Log}, {"brand.name", c.Brand.Name, d.Brand.Name},
		{"notify.smtp.port", c.Notify.SMTP.Port, d.Notify.SMTP.Port},
		{"notify.smtp.security", c.Notify.SMTP.Security, d.Notify.SMTP.Security},
	} {
		if !reflect.DeepEqual(v.got, v.want) {
			t.Errorf("the example shows %s as %+v, the default is %+v", v.key, v.got, v.want)
		}
	}
	l := c.Ladder()
	l[1].Aliases = nil
	for i, want := range d.Ladder() {
		if l[i].Name != want.Name || !reflect.DeepEqual(l[i].Ways, want.Ways) {
			t.Errorf("the example shows level %d as %+v, the default is %+v", i, l[i], want)
		}
	}
}

// collect gathers the keys of n, list indices and the names in maps as *.
func collect(n *yaml.Node, key string, shown map[string]bool) {
	shown[key] = true
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			collect(n.Content[i+1], strings.TrimPrefix(key+"."+n.Content[i].Value, "."), shown)
			collect(n.Content[i+1], strings.TrimPrefix(key+".*", "."), shown)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			collect(c, key+"[]", shown)
		}
	}
}

// keys returns every key that t has room for.
func keys(t reflect.Type, key string) []string {
	switch t.Kind() {
	case reflect.Struct:
		var all []string
		for f := range t.Fields() {
			switch tag := f.Tag.Get("yaml"); {
			case tag == ",inline":
				all = append(all, keys(f.Type, key)...)
			case tag != "":
				all = append(all, keys(f.Type, strings.TrimPrefix(key+"."+tag, "."))...)
			}
		}
		return all
	case reflect.Slice:
		return append([]string{key}, keys(t.Elem(), key+"[]")...)
	case reflect.Map:
		return append([]string{key}, keys(t.Elem(), key+".*")...)
	}
	return []string{key}
}
