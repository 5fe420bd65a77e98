package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/notify"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/notify/smtptest"
	"github.com/sallyport-id/sallyport/provider"
)

var kinds = []provider.NoticeKind{
	provider.NoticeEnrolled, provider.NoticeReplaced, provider.NoticeRecovery, provider.NoticeCodes,
	provider.NoticeReset, provider.NoticeReplay, provider.NoticeStolen,
}

func notice(kind provider.NoticeKind) provider.Notice {
	return provider.Notice{
		Kind: kind, Time: time.Date(2026, 11, 22, 16, 40, 0, 0, time.UTC), Address: "192.0.2.1", RecoveryLeft: 3,
		User: provider.User{Subject: "s1", Username: "ada", Claims: provider.Claims{Name: "Ada Byron", Email: "ada@example.com"}},
	}
}

// delivered sends notices through a Notifier and returns the mails.
func delivered(t *testing.T, notices ...provider.Notice) []notify.Message {
	t.Helper()
	var mails []notify.Message
	n := notify.New(notify.Config{
		Brand: "Sallyport", Issuer: "https://id.example.com", Log: slog.New(slog.DiscardHandler),
		Deliver: func(_ context.Context, m notify.Message) error {
			mails = append(mails, m)
			return nil
		},
	})
	for _, x := range notices {
		n.Notify(t.Context(), x)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return mails
}

// TO-10, TO-14, RC-5, AD-3: who is told, is told in words.
func TestEveryNoticeSaysWhatHappenedInEveryLanguage(t *testing.T) {
	for _, lang := range []string{"", "en", "de-CH", "fr", "xx"} {
		for _, k := range kinds {
			x := notice(k)
			x.User.Claims.Locale = lang
			m := delivered(t, x)
			if len(m) != 1 || m[0].To != "ada@example.com" {
				t.Fatalf("%s: got %v", k, m)
			}
			for _, want := range []string{"Ada Byron", "ada", "Sallyport", "2026", "16:40", "192.0.2.1"} {
				if !strings.Contains(m[0].Body, want) {
					t.Errorf("%s in %q does not say %q:\n%s", k, lang, want, m[0].Body)
				}
			}
			if strings.ContainsAny(m[0].Subject+m[0].Body, "{}") {
				t.Errorf("%s in %q has a placeholder left:\n%s\n%s", k, lang, m[0].Subject, m[0].Body)
			}
			if german := strings.HasPrefix(lang, "de"); strings.HasPrefix(m[0].Body, "Guten Tag") != german {
				t.Errorf("%s in %q begins %.20q", k, lang, m[0].Body)
			}
		}
	}
	if m := delivered(t, notice(provider.NoticeRecovery)); !strings.Contains(m[0].Body, "left: 3") {
		t.Errorf("how many codes are left is not said:\n%s", m[0].Body)
	}
}

func TestEveryLanguageHasEverySentence(t *testing.T) {
	text, err := os.ReadFile("texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for lang := range all {
		for _, k := range kinds {
			for _, part := range []string{"", ".subject", ".advice"} {
				if all[lang][string(k)+part] == "" {
					t.Errorf("%s has no %s", lang, string(k)+part)
				}
			}
		}
		if got, want := len(all[lang]), len(all["en"]); got != want {
			t.Errorf("%s has %d sentences, English %d", lang, got, want)
		}
	}
}

// A name is what someone chose. It must not write a mail of its own.
func TestAHostileNameStaysInItsPlace(t *testing.T) {
	x := notice(provider.NoticeEnrolled)
	x.User.Claims.Name = "Ada,\r\n\r\nyour account is closed. Call {account} 555\u202e" + strings.Repeat("x", 500)
	x.Address = "192.0.2.1\r\nBcc: all@example.com"
	m := delivered(t, x)[0]
	if lines := strings.Split(m.Body, "\n"); !strings.HasPrefix(lines[0], "Hello Ada, your account") || len(lines[0]) > 130 {
		t.Errorf("the first line is %q", lines[0])
	}
	if strings.Contains(m.Body, "\nBcc") || strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.Body, "\u202e") {
		t.Errorf("something was let through:\n%s\n%s", m.Subject, m.Body)
	}
}

func TestWithoutAServerOrAddressItIsLogged(t *testing.T) {
	var log bytes.Buffer
	n := notify.New(notify.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	n.Notify(t.Context(), notice(provider.NoticeStolen))
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "kind=password-stolen subject=s1") || strings.Contains(log.String(), "ada@") {
		t.Errorf("the log says %s", log.String())
	}
	nobody := notice(provider.NoticeStolen)
	nobody.User.Claims.Email = ""
	if m := delivered(t, nobody); m != nil {
		t.Errorf("a mail went to nobody: %v", m)
	}
}

func TestANoticeIsTriedThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		var log bytes.Buffer
		n := notify.New(notify.Config{
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Deliver: func(context.Context, notify.Message) error {
				at = append(at, time.Since(began))
				return errors.New("the server is full")
			},
		})
		n.Notify(t.Context(), notice(provider.NoticeReset))
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(at), "[0s 10s 30s]"; got != want {
			t.Errorf("tried at %s, want %s", got, want)
		}
		if !strings.Contains(log.String(), "the server is full") {
			t.Errorf("the log does not say that it was lost: %s", log.String())
		}
	})
}

// A mail server that hangs must not make anyone wait, nor fill the memory.
func TestTheQueueIsBoundedAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := notify.New(notify.Config{
			Log: slog.New(slog.NewTextHandler(&log, nil)), Queue: 2,
			Deliver: func(ctx context.Context, _ notify.Message) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})
		began := time.Now()
		for range 10 {
			n.Notify(t.Context(), notice(provider.NoticeReset))
			synctest.Wait()
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("ten notices took %v", d)
		}
		if got, want := strings.Count(log.String(), "too many wait"), 7; got != want {
			t.Errorf("%d notices were turned away, want %d: one is being sent, two wait", got, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closing gave %v, want that it took too long", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("closing took %v, want a second", d)
		}
		n.Notify(t.Context(), notice(provider.NoticeReset))
		if !strings.Contains(log.String(), "the server is stopping") {
			t.Error("a notice after the end was lost without a word")
		}
	})
}

func TestAMailGoesOutBySMTP(t *testing.T) {
	port, got := smtptest.New(t)
	deliver, err := notify.SMTP(config.SMTP{
		Host: "127.0.0.1", Port: port, Security: "none", From: "Sallyport <id@example.com>",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = deliver(t.Context(), notify.Message{To: "ada@example.com", Subject: "Schlüssel", Body: "Guten Tag,\n\nalles in Ordnung.\n"})
	if err != nil {
		t.Fatal(err)
	}
	mail := <-got
	for _, want := range []string{"MAIL FROM:<id@example.com>", "RCPT TO:<ada@example.com>", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(mail, want) {
			t.Errorf("the mail has no %q:\n%s", want, mail)
		}
	}
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(mail)))
	if err != nil || !strings.Contains(string(body), "alles in Ordnung.") {
		t.Errorf("%v, the body is:\n%s", err, body)
	}
}

// Whoever is in between can take STARTTLS out of what a server says.
func TestAServerWithoutTLSGetsNoMail(t *testing.T) {
	port, got := smtptest.New(t)
	deliver, err := notify.SMTP(config.SMTP{
		Host: "127.0.0.1", Port: port, Security: "starttls", From: "id@example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = deliver(t.Context(), notify.Message{To: "ada@example.com", Subject: "s", Body: "b"})
	if err == nil {
		t.Errorf("the mail went out in the clear: %s", <-got)
	}
}
