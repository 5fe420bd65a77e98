// Package notify tells people what happened to their accounts: by mail where a
// server is configured, and in any case in the log.
//
// A notice is put into a short queue and sent by someone else than the request
// that caused it: a slow mail server must not make a sign-in slow, nor tell by
// its time whether there was something to say. When the queue is full, or the
// server refuses three times, the notice is only logged; the same event stands
// in the audit trail and on the account page.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// A Message is a mail to one person.
type Message struct {
	To      string
	Subject string
	Body    string
}

// Config says how people are told.
type Config struct {
	// Deliver sends a message; see SMTP. Nil: notices are only logged.
	Deliver func(ctx context.Context, m Message) error

	Brand  string // whose accounts these are
	Issuer string
	Log    *slog.Logger // required

	Queue int           // notices that may wait; 0: 256
	Retry time.Duration // how long to wait before the second try, and twice as long before the third; 0: 10 s
}

// A Notifier tells people. Only New makes one. It is safe for concurrent use.
type Notifier struct {
	config Config
	mu     sync.Mutex
	closed bool
	queue  chan provider.Notice
	done   chan struct{}
	ctx    context.Context // of deliveries; ended by Close when its own context is
	stop   context.CancelFunc
}

const (
	tries           = 3
	deliveryTimeout = 30 * time.Second
)

// New returns a Notifier that works until it is closed.
func New(c Config) *Notifier {
	if c.Queue == 0 {
		c.Queue = 256
	}
	if c.Retry == 0 {
		c.Retry = 10 * time.Second
	}
	n := &Notifier{config: c, queue: make(chan provider.Notice, c.Queue), done: make(chan struct{})}
	n.ctx, n.stop = context.WithCancel(context.Background())
	go n.work()
	return n
}

// Notify takes a notice and returns at once; it is made for
// [provider.Config.Notify].
func (n *Notifier) Notify(ctx context.Context, notice provider.Notice) {
	n.config.Log.InfoContext(ctx, "notice", "kind", string(notice.Kind), "subject", notice.User.Subject, "address", notice.Address)
	if n.config.Deliver == nil || notice.User.Claims.Email == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		n.lost(notice, "the server is stopping")
		return
	}
	select {
	case n.queue <- notice:
	default:
		n.lost(notice, "too many wait already")
	}
}

// Close takes no more notices and waits until those it has are sent, or ctx
// ends.
func (n *Notifier) Close(ctx context.Context) error {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.queue)
	}
	n.mu.Unlock()
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		n.stop()
		<-n.done
		return fmt.Errorf("some notices were not sent: %w", ctx.Err())
	}
}

func (n *Notifier) work() {
	defer close(n.done)
	defer n.stop()
	for notice := range n.queue {
		if err := n.deliver(n.compose(notice)); err != nil {
			n.lost(notice, err.Error())
		}
	}
}

func (n *Notifier) deliver(m Message) (err error) {
	for try := range tries {
		if try > 0 {
			select {
			case <-time.After(n.config.Retry << (try - 1)):
			case <-n.ctx.Done():
				return n.ctx.Err()
			}
		}
		ctx, cancel := context.WithTimeout(n.ctx, deliveryTimeout)
		err = n.config.Deliver(ctx, m)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func (n *Notifier) lost(notice provider.Notice, reason string) {
	n.config.Log.Error("notice not sent", "kind", string(notice.Kind), "subject", notice.User.Subject, "reason", reason)
}
