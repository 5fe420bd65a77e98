package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/server"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/password"
)

const (
	sweepEvery  = 10 * time.Minute
	sweepBatch  = 500
	rotateEvery = time.Minute
)

func (c *cli) serveCommand() *cobra.Command {
	return c.configured(&cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve",
		Long: `Serve runs the provider until it gets SIGINT or SIGTERM. Then it takes no more
requests, finishes those it has, and ends.

Beside the provider it answers GET /healthz, which says that the process runs,
and GET /readyz, which says that it can serve: 503 while the database does not
answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.load()
			if err != nil {
				return err
			}
			tuneGC(conf.Passwords.Cost())
			shareCores()
			return serve(cmd.Context(), conf, logger(conf.Log, c.err), nil)
		},
	})
}

// cores is how many there are for this process, and so how many passwords are
// hashed at once.
var cores = runtime.GOMAXPROCS(0)

// shareCores lets Go run twice as many goroutines at once as there are cores,
// unless the environment says otherwise (GOMAXPROCS).
// With as many as cores, each password that is hashed would keep one of them to
// itself for up to 10 ms at a time (Go's preemption), and all other requests
// would wait for that. So they are the kernel's to share out, which lets those
// go first who have slept.
func shareCores() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * cores)
	}
}

// tuneGC collects garbage when four times of what lives has gathered, and before
// there are 256 MiB and 64 for each core, or three times what a password takes if
// that is more, unless the environment says otherwise (GOGC, GOMEMLIMIT). So
// little lives here, some 10 MiB, that Go's usual once has it collect several times
// a second under load, and each password that is hashed leaves 19 MiB behind, or
// what is configured.
func tuneGC(hash password.Cost) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		each := max(64<<20, 3*int64(hash.Memory)<<10)
		debug.SetMemoryLimit(256<<20 + each*int64(cores))
	}
}

// serve runs the server that conf describes until ctx ends. started is called
// when it listens, unless it is nil.
func serve(ctx context.Context, conf config.Config, log *slog.Logger, started func()) (err error) {
	h, err := newHouse(ctx, conf, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	if err := h.declare(ctx); err != nil {
		return err
	}
	if err := h.keys.RotateIfDue(ctx); err != nil {
		return err
	}
	// If the keys do not open, it is better known now than at the first token.
	if _, err := h.keys.Published(ctx); err != nil {
		return err
	}
	proxies, err := trusted(conf)
	if err != nil {
		return err
	}
	p, err := h.provider(ctx, proxies.ClientAddress)
	if err != nil {
		return err
	}
	s := server.Config{
		Handler: p, Proxies: proxies, Log: log, Ready: h.db.Ping, WithRequestID: provider.WithRequestID,
	}
	if conf.TLS.Cert != "" {
		if s.Certificate, err = server.LoadCertificate(conf.TLS.Cert, conf.TLS.Key, log); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", conf.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; is something else there? See listen in the configuration", conf.Listen, err)
	}
	log.Info("serving", "issuer", conf.Issuer, "listen", l.Addr().String(), "tls", s.Certificate != nil, "version", version())
	if started != nil {
		started()
	}
	stop := h.keepHouse(ctx, p)
	defer stop()
	return server.Serve(ctx, l, s)
}

func trusted(conf config.Config) (server.Proxies, error) {
	var all server.Proxies
	for _, s := range conf.TrustedProxies {
		p, err := config.ParseProxy(s)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// keepHouse sweeps what has expired, rotates keys that are due and tells clients
// of logouts, until stop is called, which waits for what is being done. Logouts
// are told until the last request is answered, though ctx ends before.
func (h *house) keepHouse(ctx context.Context, p *provider.Provider) (stop func()) {
	last, done := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { p.Deliver(last) })
	wg.Go(func() { h.every(ctx, sweepEvery, "sweep", h.sweep) })
	wg.Go(func() {
		h.every(ctx, min(rotateEvery, time.Duration(h.config.Keys.Rotate)/2), "rotate keys", h.keys.RotateIfDue)
	})
	return func() {
		cancel()
		done()
		wg.Wait()
	}
}

// every does chore now and then. An error is for the log, and the next time may
// go better.
func (h *house) every(ctx context.Context, interval time.Duration, name string, chore func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := chore(ctx); err != nil && ctx.Err() == nil {
			h.log.ErrorContext(ctx, "chore failed", "chore", name, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep removes what has expired, in batches, so that nobody waits for long.
func (h *house) sweep(ctx context.Context) error {
	for {
		n, err := h.db.Sweep(ctx, time.Now(), sweepBatch)
		if err != nil || n == 0 {
			return err
		}
		h.log.DebugContext(ctx, "swept", "rows", n)
	}
}
