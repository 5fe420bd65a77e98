package stepup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	strict "github.com/go-jose/go-jose/v4/json"
)

const (
	// fetchTimeout is how long one request to the issuer may take.
	fetchTimeout = 5 * time.Second

	// maxDocument is the size of the largest document that is read, in bytes.
	maxDocument = 256 << 10

	// maxConnections is how many requests the issuer gets at once.
	maxConnections = 32
)

// An issuer is the authorization server, as far as an API talks to it.
type issuer struct {
	name     string
	client   *http.Client
	metadata kept[metadata]
	log      *slog.Logger
}

// metadata are those of RFC 8414 section 2 that an API needs.
type metadata struct {
	Issuer        string `json:"issuer"`
	JWKS          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

func newIssuer(c Config, log *slog.Logger) *issuer {
	t := c.Transport
	if t == nil {
		t = &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections,
			IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2: true,
		}
	}
	i := &issuer{name: c.Issuer, log: log, client: &http.Client{
		Transport: t, Timeout: fetchTimeout,
		// A redirect is answered by whoever the issuer points at, which its
		// metadata could have named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	i.metadata.fetch = i.discover
	return i
}

// endpoint returns the URL that pick takes from the metadata. Old ones do while
// they are read anew.
func (i *issuer) endpoint(ctx context.Context, pick func(metadata) string) (string, error) {
	m := i.metadata.look()
	if m.have && m.age >= keysFresh {
		i.metadata.renew()
	}
	if !m.have {
		if done := i.metadata.renew(); done != nil {
			if err := wait(ctx, done); err != nil {
				return "", err
			}
		}
		m = i.metadata.look()
	}
	if !m.have {
		return "", fmt.Errorf("the issuer's metadata: %w", m.err)
	}
	u := pick(m.value)
	if u == "" {
		return "", errors.New("the issuer's metadata do not name the endpoint")
	}
	if err := checkURL(u, i.name); err != nil {
		return "", fmt.Errorf("the issuer's metadata: %w", err)
	}
	return u, nil
}

// discover reads the metadata where OpenID Connect Discovery section 4 has
// them, or else where RFC 8414 section 3 does.
func (i *issuer) discover(ctx context.Context) (metadata, error) {
	u, err := url.Parse(i.name)
	if err != nil {
		return metadata{}, err
	}
	m, err := i.metadataAt(ctx, strings.TrimSuffix(i.name, "/")+"/.well-known/openid-configuration")
	if err == nil {
		return m, nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	m, err2 := i.metadataAt(ctx, u.Scheme+"://"+u.Host+"/.well-known/oauth-authorization-server"+path)
	if err2 != nil {
		return metadata{}, errors.Join(err, err2)
	}
	return m, nil
}

func (i *issuer) metadataAt(ctx context.Context, address string) (metadata, error) {
	b, err := i.get(ctx, address)
	if err != nil {
		return metadata{}, err
	}
	var m metadata
	if err := strict.Unmarshal(b, &m); err != nil {
		return metadata{}, fmt.Errorf("reading %s: %w", address, err)
	}
	// RFC 8414 section 3.3: otherwise they are somebody else's.
	if m.Issuer != i.name {
		return metadata{}, fmt.Errorf("%s is of issuer %.200q", address, m.Issuer)
	}
	return m, nil
}

func (i *issuer) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return i.do(r)
}

// do returns the body of a 200.
func (i *issuer) do(r *http.Request) ([]byte, error) {
	r.Header.Set("Accept", "application/json")
	resp, err := i.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", r.URL.Redacted(), resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.URL.Redacted(), err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%s is longer than %d bytes", r.URL.Redacted(), maxDocument)
	}
	return b, nil
}

// checkURL reports what is wrong with a URL of issuer's: it is https, or http
// on this machine if the issuer is too.
func checkURL(raw, issuer string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return fmt.Errorf("%.200q is no URL of a server", raw)
	}
	home, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("%.200q is no URL of a server", issuer)
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u) && isLoopback(home) {
		return nil
	}
	return fmt.Errorf("%.200q is not https", raw)
}

func isLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}
