package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/demoapp"
)

// A demo is what the demo remembers between two starts, beside its
// configuration and its database.
type demo struct {
	Issuer   string `json:"issuer"`
	App      string `json:"app"`
	Bank     string `json:"bank,omitempty"` // the API; empty: the demo is an older one that was changed by hand
	Username string `json:"username"`
	Password string `json:"password"`

	dir string
}

const (
	demoClient    = "demo-app"
	demoFile      = "demo.json"
	appSecretFile = "app.secret"
	paymentFile   = "payment.json"
)

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) configFile() string { return d.file("idp.yaml") }

// openDemo reads the demo in dir, or makes it if there is none. demo.json is
// written last: with it the directory is complete, and what an interrupted
// first start left behind is made anew.
func openDemo(dir string, port int) (d *demo, first bool, err error) {
	d = &demo{dir: dir}
	text, err := os.ReadFile(d.file(demoFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, true, d.make(port)
	case err != nil:
		return nil, false, fmt.Errorf("the demo in %s cannot be read: %w", dir, err)
	}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, false, fmt.Errorf("%s is damaged: %w. Remove %s to start over", d.file(demoFile), err, dir)
	}
	return d, false, d.grow()
}

// grow gives a demo of an earlier version what has come since: the bank. A
// configuration that was changed by hand is left alone, and has none.
//
// The configuration is written last, so that the next start goes on where this
// one was interrupted.
func (d *demo) grow() error {
	earlier := *d
	earlier.Bank = ""
	want, err := earlier.configuration()
	if err != nil {
		return err
	}
	is, err := os.ReadFile(d.configFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // whoever reads the configuration says so better
	}
	if err != nil {
		return fmt.Errorf("the demo's configuration cannot be read: %w", err)
	}
	if !bytes.Equal(is, want) {
		return nil
	}
	if d.Bank == "" {
		if err := d.addBank(); err != nil {
			return err
		}
	}
	conf, err := d.configuration()
	if err != nil {
		return err
	}
	state, err := d.state()
	if err != nil {
		return err
	}
	return d.write([]made{{paymentFile, []byte(demoapp.PaymentSchema)}, {demoFile, state}, {"idp.yaml", conf}})
}

// addBank finds a place for the bank after the app's.
func (d *demo) addBank() error {
	u, err := url.Parse(d.App)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", d.file(demoFile), err)
	}
	app, err := strconv.Atoi(u.Port())
	if err != nil {
		return fmt.Errorf("%s is damaged: the app has no port", d.file(demoFile))
	}
	bank, err := freePort(app + 1)
	if err != nil {
		return err
	}
	d.Bank = "http://127.0.0.1:" + strconv.Itoa(bank)
	return nil
}

// make makes everything but the database.
func (d *demo) make(port int) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("a directory for the demo: %w", err)
	}
	issuer, err := freePort(port)
	if err != nil {
		return err
	}
	app, err := freePort(issuer + 1)
	if err != nil {
		return err
	}
	d.Issuer = "http://127.0.0.1:" + strconv.Itoa(issuer)
	d.App = "http://127.0.0.1:" + strconv.Itoa(app)
	d.Username, d.Password = "ada", easyPassword()
	if err := d.addBank(); err != nil {
		return err
	}
	state, err := d.state()
	if err != nil {
		return err
	}
	conf, err := d.configuration()
	if err != nil {
		return err
	}
	return d.write([]made{
		{"sealing.key", randomKey()},
		{"tokens.key", randomKey()},
		{appSecretFile, randomKey()},
		{paymentFile, []byte(demoapp.PaymentSchema)},
		{"idp.yaml", conf},
		{demoFile, state},
	})
}

// state returns what is in demo.json.
func (d *demo) state() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

// A made is a file in the demo's directory.
type made struct {
	name string
	text []byte
}

// write writes files in their order.
func (d *demo) write(files []made) error {
	for _, f := range files {
		if err := writePrivate(d.file(f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

var demoConfiguration = template.Must(template.New("idp.yaml").Parse(`# Made by idp demo. config.example.yaml explains every key.
issuer: {{.Issuer}}
listen: {{.Listen}}
database:
  sqlite: idp.db
secrets:
  sealing:
    - id: demo
      key_file: sealing.key
  tokens:
    - secret_file: tokens.key
brand:
  name: Sallyport demo
log:
  format: text
  level: warn
{{- if .Bank}}
scopes:
  transfer:
    floor: mfa
    once: true
    text: {en: Send money, de: Geld senden}
authorization_details:
  payment:
    schema_file: {{.Payment}}
    show:
      en: |
        Pay {{"{{.amount}}"}} EUR
        to {{"{{.payee}}"}}
      de: |
        {{"{{.amount}}"}} EUR zahlen
        an {{"{{.payee}}"}}
    floor: mfa
    once: true
{{- end}}
clients:
  - id: {{.Client}}
    name: Demo app
    redirect_uris: ["{{.App}}/callback"]
    initiate_login_uri: {{.App}}/login
    scopes: [openid, profile, email, phone, address, groups, offline_access{{if .Bank}}, transfer{{end}}]
{{- if .Bank}}
    resources: ["{{.Bank}}"]
    authorization_details_types: [payment]
{{- end}}
    secret_files: [{{.Secret}}]
`))

func (d *demo) configuration() ([]byte, error) {
	u, err := url.Parse(d.Issuer)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = demoConfiguration.Execute(&b, map[string]string{
		"Issuer": d.Issuer, "Listen": u.Host, "App": d.App, "Client": demoClient, "Secret": appSecretFile,
		"Bank": d.Bank, "Payment": paymentFile,
	})
	return b.Bytes(), err
}

// writePrivate writes a file that only its owner can read, whole or not at all.
func writePrivate(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// freePort returns the first free loopback port from port on.
func freePort(port int) (int, error) {
	for p := port; p < port+100 && p <= 65535; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			return p, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d on; name another with --port", port)
}

// randomKey returns 256 random bits in base64.
func randomKey() []byte {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return []byte(base64.RawStdEncoding.EncodeToString(b[:]))
}

// easyPassword returns 60 random bits that are easy to type.
func easyPassword() string {
	s := strings.ToLower(rand.Text())
	return s[:4] + "-" + s[4:8] + "-" + s[8:12]
}
