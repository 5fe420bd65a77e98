package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Certificate is a certificate and its key in two files, read again when
// either has changed. It is safe for concurrent use.
type Certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]stamp // of the files when they were last read, whether well or not
}

// A stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads both files; the error says what is wrong with them.
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log}
	seen, err := c.stamps()
	if err != nil {
		return nil, err
	}
	return c, c.load(seen)
}

// Get returns the certificate for a handshake, for use as
// [tls.Config.GetCertificate]. It looks at the files each time: two calls of
// stat are nothing beside a handshake, and nothing needs to watch. While the
// files do not fit together, because they are being replaced one after the
// other or by mistake, the last good certificate serves.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stamps()
	if err != nil {
		if c.seen != ([2]stamp{}) {
			c.log.Error("certificate cannot be read, the last one goes on serving", "error", err)
			c.seen = [2]stamp{}
		}
		return c.loaded, nil
	}
	if seen == c.seen {
		return c.loaded, nil
	}
	if err := c.load(seen); err != nil {
		c.log.Error("new certificate is unusable, the last one goes on serving", "error", err)
		return c.loaded, nil
	}
	c.log.Info("certificate reloaded", "file", c.cert, "not_after", c.loaded.Leaf.NotAfter)
	return c.loaded, nil
}

func (c *Certificate) load(seen [2]stamp) error {
	c.seen = seen
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	c.loaded = &pair
	return nil
}

func (c *Certificate) stamps() (s [2]stamp, err error) {
	for i, path := range []string{c.cert, c.key} {
		f, err := os.Stat(path)
		if err != nil {
			return s, fmt.Errorf("load the certificate: %w", err)
		}
		s[i] = stamp{f.ModTime(), f.Size()}
	}
	return s, nil
}
