package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// A road leads to a provider over TLS: HTTP/2, certificates and all, on wires
// within this process, over which a bubble of its own time can reach.
type road struct {
	http.Transport
	wires chan net.Conn
	gone  chan struct{}
	close func()
}

// newRoad serves h as the issuer until the test ends.
func newRoad(t testing.TB, h http.Handler) *road {
	t.Helper()
	to, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, to.Hostname())
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	r := &road{wires: make(chan net.Conn), gone: make(chan struct{})}
	r.close = sync.OnceFunc(func() { close(r.gone) })
	r.Transport = http.Transport{
		DialContext: r.dial, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
	}
	s := &http.Server{
		Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(r, "", "") }()
	t.Cleanup(func() {
		r.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return r
}

// certificate returns one that host signed itself.
func certificate(t testing.TB, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (r *road) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case r.wires <- far:
		return near, nil
	case <-r.gone:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make r a net.Listener.
func (r *road) Accept() (net.Conn, error) {
	select {
	case c := <-r.wires:
		return c, nil
	case <-r.gone:
		return nil, net.ErrClosed
	}
}

func (r *road) Close() error   { r.close(); return nil }
func (r *road) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 443} }
