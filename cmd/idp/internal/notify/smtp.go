package notify

import (
	"context"
	"errors"
	"fmt"

	"github.com/wneessen/go-mail"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
)

// SMTP returns what delivers messages through a mail server, for
// Config.Deliver. It connects for each: notices are rare.
func SMTP(c config.SMTP) (func(ctx context.Context, m Message) error, error) {
	options := []mail.Option{mail.WithPort(c.Port), mail.WithTimeout(deliveryTimeout)}
	switch c.Security {
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		// Mandatory: if whoever is in between takes STARTTLS out of the server's
		// answer, nothing is sent.
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(c.Username), mail.WithPassword(string(c.Password)))
	}
	if _, err := mail.NewClient(c.Host, options...); err != nil {
		return nil, fmt.Errorf("notify.smtp: %w", err)
	}
	return func(ctx context.Context, m Message) error {
		msg := mail.NewMsg()
		if err := errors.Join(msg.From(c.From), msg.To(m.To)); err != nil {
			return fmt.Errorf("address a notice: %w", err)
		}
		msg.Subject(m.Subject)
		msg.SetBodyString(mail.TypeTextPlain, m.Body)
		// RFC 3834 section 5: nobody's holiday answers this.
		msg.SetGenHeader("Auto-Submitted", "auto-generated")
		client, err := mail.NewClient(c.Host, options...)
		if err != nil {
			return fmt.Errorf("send a notice: %w", err)
		}
		if err := client.DialAndSendWithContext(ctx, msg); err != nil {
			return fmt.Errorf("send a notice: %w", err)
		}
		return nil
	}, nil
}
