package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// The environment names a proxy, which net/http looks up once for a process.
// None of the tests gets further by it.
func TestMain(m *testing.M) {
	os.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	os.Exit(m.Run())
}

// names are what DNS says in a test.
type names map[string][]string

// client is NewClient where names are resolved by n.
func (n names) client(allowed ...netip.Prefix) *http.Client {
	c := NewClient(allowed...)
	c.Transport = newTransport(&net.Dialer{Timeout: Timeout, Resolver: n.resolver()}, allowed)
	return c
}

func (n names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.answer(theirs)
		return ours, nil
	}}
}

// answer is a name server for one connection (RFC 1035 section 4.2.2).
func (n names) answer(c net.Conn) {
	defer c.Close()
	for {
		var size uint16
		if binary.Read(c, binary.BigEndian, &size) != nil {
			return
		}
		b := make([]byte, size)
		var m dnsmessage.Message
		if _, err := io.ReadFull(c, b); err != nil || m.Unpack(b) != nil {
			return
		}
		q := m.Questions[0]
		m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
		for _, s := range n[strings.TrimSuffix(q.Name.String(), ".")] {
			h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
			switch ip := netip.MustParseAddr(s); {
			case ip.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
			case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
			}
		}
		b, err := m.Pack()
		if err != nil {
			return
		}
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
}

// counted is a server on 127.0.0.1 that counts what reaches it.
func counted(t *testing.T, h http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		h(w, r)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s, &n
}

// trusting lets c believe s's certificate.
func trusting(c *http.Client, s *httptest.Server) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c.Transport.(*transport).base.TLSClientConfig = &tls.Config{RootCAs: roots}
	return c
}

func get(c *http.Client, uri string) ([]byte, error) {
	return Get(context.Background(), c, uri, "application/json")
}

// OA-10: what is not public is not connected to, by whatever name.
func TestOnlyPublicAddressesAreReached(t *testing.T) {
	s, hits := counted(t, func(http.ResponseWriter, *http.Request) {})
	port := ":" + s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	dns := names{
		"loopback.example": {"127.0.0.1"}, "loopback6.example": {"::1"}, "mapped.example": {"::ffff:127.0.0.1"},
		"private.example": {"10.1.2.3"}, "metadata.example": {"169.254.169.254"}, "both.example": {"127.0.0.1", "::1", "192.168.0.1"},
	}
	c := trusting(dns.client(), s)
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::127.0.0.1]",
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", // RFC 1918, RFC 6598
		"169.254.169.254", "169.254.0.1", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]",
		"224.0.0.1", "239.255.255.250", "[ff02::1]", "255.255.255.255", "240.0.0.1",
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "[2001:db8::1]",
		"[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[2001::1]", // NAT64, 6to4, Teredo
		"loopback.example", "loopback6.example", "mapped.example", "private.example", "metadata.example", "both.example",
	} {
		if _, err := get(c, "https://"+host+port+"/"); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: got %v, want ErrAddress", host, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests came through", hits.Load())
	}
	d := &net.Dialer{}
	newTransport(d, nil)
	for _, public := range []string{"93.184.216.34:443", "8.8.8.8:8443", "172.32.0.1:443", "100.128.0.1:443", "[2606:4700::1111]:443"} {
		network := "tcp4"
		if strings.HasPrefix(public, "[") {
			network = "tcp6"
		}
		if err := d.Control(network, public, nil); err != nil {
			t.Errorf("%s: %v", public, err)
		}
	}
}

// What was allowed is reached, and nothing beside it.
func TestAnAllowedNetworkIsReached(t *testing.T) {
	s, _ := counted(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	c := trusting(names{"example.com": {"127.0.0.1"}}.client(loopback...), s)
	for _, host := range []string{"127.0.0.1", "example.com"} { // which the certificate is for
		if b, err := get(c, "https://"+host+port); err != nil || string(b) != "here" {
			t.Errorf("%s: got %q, %v", host, b, err)
		}
	}
	if _, err := get(c, "https://10.0.0.1"+port); !errors.Is(err, ErrAddress) {
		t.Errorf("another network: got %v, want ErrAddress", err)
	}
	one := trusting(NewClient(netip.MustParsePrefix("127.0.0.2/32")), s)
	if _, err := get(one, s.URL); !errors.Is(err, ErrAddress) {
		t.Errorf("beside what was allowed: got %v, want ErrAddress", err)
	}
	if _, err := get(NewClient(loopback...), s.URL); err == nil || errors.Is(err, ErrAddress) {
		t.Errorf("a certificate that nobody trusts: got %v", err)
	}
}

// A redirect would lead to what the first URI is not allowed to name.
func TestARedirectIsNotFollowed(t *testing.T) {
	target, reached := counted(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{target.URL, "http://169.254.169.254/latest/meta-data/", "/elsewhere", "file:///etc/passwd"} {
			s, hits := counted(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) })
			if b, err := get(trusting(NewClient(loopback...), s), s.URL); err == nil {
				t.Errorf("%d to %s: got %q", status, to, b)
			}
			if hits.Load() != 1 {
				t.Errorf("%d to %s: %d requests, want 1", status, to, hits.Load())
			}
		}
	}
	if reached.Load() != 0 {
		t.Errorf("%d requests came to where redirects lead", reached.Load())
	}
}

func TestOnlyHTTPSIsAsked(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") }))
	t.Cleanup(s.Close)
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	c := names{"app.example": {"127.0.0.1"}}.client(loopback...)
	for _, uri := range []string{
		"http://app.example" + port, "http://example.com/", "http://10.0.0.1/", "ftp://example.com/", "file:///etc/passwd",
		"unix:///run/x.sock", "//example.com/", "/jwks", "", "https+unix://x/", "gopher://example.com/",
	} {
		if _, err := get(c, uri); !errors.Is(err, ErrScheme) {
			t.Errorf("%q: got %v, want ErrScheme", uri, err)
		}
	}
	// Within this machine nobody listens, where it may be reached at all.
	if b, err := get(c, s.URL); err != nil || string(b) != "here" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := get(NewClient(), s.URL); !errors.Is(err, ErrAddress) {
		t.Errorf("got %v, want ErrAddress", err)
	}
}

func TestNothingGoesAlongWithARequest(t *testing.T) {
	s, hits := counted(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "track", Value: "1", Path: "/"})
		for _, name := range []string{"Cookie", "Authorization", "Referer", "Accept-Encoding", "Proxy-Authorization"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("%s: %s", name, v)
			}
		}
	})
	c := trusting(names{"example.com": {"127.0.0.1"}}.client(loopback...), s)
	for range 2 {
		if _, err := get(c, "https://example.com"+s.URL[strings.LastIndexByte(s.URL, ':'):]); err != nil {
			t.Error(err)
		}
	}
	if hits.Load() != 2 {
		t.Errorf("%d requests, want 2", hits.Load())
	}
}

func TestAnAnswerIsReadToItsLimit(t *testing.T) {
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscan(r.URL.Query().Get("bytes"), &n)
		var status int
		if fmt.Sscan(r.URL.Query().Get("status"), &status); status != 0 {
			w.WriteHeader(status)
		}
		for piece := strings.Repeat("a", 1<<10); n > 0; n -= len(piece) {
			if _, err := io.WriteString(w, piece[:min(n, len(piece))]); err != nil {
				return
			}
		}
	})
	c := trusting(NewClient(loopback...), s)
	for query, want := range map[string]int{
		"bytes=0": 0, "bytes=5": 5, fmt.Sprint("bytes=", MaxBody): MaxBody, fmt.Sprint("bytes=", MaxBody+1): -1,
		"bytes=1000000000000": -1, "bytes=5&status=404": -1, "bytes=5&status=201": -1, "bytes=5&status=500": -1,
	} {
		b, err := get(c, s.URL+"/?"+query)
		if want < 0 && err == nil || want >= 0 && (err != nil || len(b) != want) {
			t.Errorf("%s: got %d bytes, %v, want %d", query, len(b), err, want)
		}
	}
}

// A server that sends one byte now and then holds nobody for long.
func TestARequestEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, answer := range map[string]func(r *http.Request) (*http.Response, error){
			"no answer": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
			"no end": func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: drip{r.Context()}, Request: r}, nil
			},
		} {
			c := NewClient()
			c.Transport = network(answer)
			began := time.Now()
			_, err := get(c, "https://app.example/")
			var timeout *url.Error
			if took := time.Since(began); err == nil || took != Timeout {
				t.Errorf("%s: %v after %v, want an error after %v", name, err, took, Timeout)
			}
			if name == "no answer" && !(errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// network is what stands for one.
type network func(r *http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// drip is a body that comes a byte a second.
type drip struct{ ctx context.Context }

func (d drip) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		b[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }
