package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
)

var _ slog.LogValuer = config.Secret("")

// LG-2: a configuration can be printed, logged and marshalled in any way
// without giving a secret away.
func TestSecretsDoNotPrint(t *testing.T) {
	const value = "correct-horse-battery-staple"
	c := config.Config{
		Database: config.Database{Postgres: value},
		Secrets: config.Secrets{
			Sealing: []config.SealingKey{{Key: value}},
			Tokens:  []config.TokenSecret{{Secret: value}},
		},
		Notify: config.Notify{SMTP: config.SMTP{Password: value}},
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", c.Database.Postgres)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	out.Write(y)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("config", "all", c, "one", c.Database.Postgres, "pointer", &c.Notify)
	}
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed as %q in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("that there is a secret was not said")
	}
}
