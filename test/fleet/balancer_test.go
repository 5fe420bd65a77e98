package fleet

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func echo(t *testing.T, name string) *Replica {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, name+" "+string(b)+" "+r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(s.Close)
	return &Replica{URL: s.URL}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestNoTwoRequestsInARowGoToOneReplica(t *testing.T) {
	b := NewBalancer()
	defer b.Close()
	b.Set(echo(t, "one"), echo(t, "two"))
	last := ""
	for range 10 {
		status, got := post(t, b.URL, "hello")
		if status != http.StatusOK || got == last || !strings.HasSuffix(got, " hello 127.0.0.1") {
			t.Fatalf("answered %d %q after %q", status, got, last)
		}
		last = got
	}
}

func TestWhatNobodyTookGoesToTheNextWithItsBody(t *testing.T) {
	b := NewBalancer()
	defer b.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	b.Set(&Replica{URL: gone.URL}, echo(t, "one"))
	for range 4 {
		if status, got := post(t, b.URL, "hello"); status != http.StatusOK || !strings.HasPrefix(got, "one hello") {
			t.Errorf("answered %d %q", status, got)
		}
	}
	b.Set(&Replica{URL: gone.URL})
	if status, _ := post(t, b.URL, "hello"); status != http.StatusServiceUnavailable {
		t.Errorf("with no replica: %d", status)
	}
}
