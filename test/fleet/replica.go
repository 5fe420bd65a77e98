package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Replica is one idp process of a house.
type Replica struct {
	URL   string        // its own address, whatever the issuer
	Ready time.Duration // from its start until it said that it is ready

	house  *House
	config string
	log    string
	cmd    *exec.Cmd
	gone   chan struct{} // closed when the process has ended
	err    error         // how it ended
}

// Start starts one more replica, with env added to its environment, and waits
// until it is ready. It is the caller's to see that two do not start at once.
func (h *House) Start(ctx context.Context, env ...string) (*Replica, error) {
	return h.StartAt(ctx, h.DSN, env...)
}

// StartAt is Start for a replica that comes to the database by another DSN.
func (h *House) StartAt(ctx context.Context, dsn string, env ...string) (*Replica, error) {
	port := h.port
	if h.begun > 0 {
		var err error
		if port, err = h.reserve(); err != nil {
			return nil, err
		}
	}
	h.begun++
	r := &Replica{
		URL: "http://127.0.0.1:" + port, house: h,
		config: filepath.Join(h.Dir, "replica"+port+".yaml"), log: filepath.Join(h.Dir, "replica"+port+".log"),
	}
	body, err := os.ReadFile(h.Config())
	if err != nil {
		return nil, err
	}
	own := strings.Replace(string(body), strconv.Quote(h.DSN), strconv.Quote(dsn), 1)
	if err := os.WriteFile(r.config, []byte(own+"\nlisten: 127.0.0.1:"+port+"\n"), 0o600); err != nil {
		return nil, err
	}
	return r, r.Restart(ctx, env...)
}

// Restart starts a replica that has ended, at the address that it had.
func (r *Replica) Restart(ctx context.Context, env ...string) error {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command(r.house.Binary, "serve", "--config", r.config)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.Env = append(os.Environ(), env...)
	began := time.Now()
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.house.is(r, true)
	r.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		r.err = cmd.Wait()
		close(gone)
	}(r.cmd, r.gone)
	if err := r.Await(ctx, 20*time.Second); err != nil {
		return errors.Join(err, r.Kill())
	}
	r.Ready = time.Since(began)
	return nil
}

// Await waits at most this long until the replica says that it is ready.
func (r *Replica) Await(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(q)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-r.gone:
			return fmt.Errorf("the server ended: %w\n%s", r.err, r.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not get ready: %w\n%s", ctx.Err(), r.Log())
		case <-time.After(time.Millisecond):
		}
	}
}

// Stop asks the replica to finish what it has and to end, and waits for it. It
// fails if the replica does not end well.
func (r *Replica) Stop() error {
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.gone
	r.house.is(r, false)
	return r.err
}

// Kill ends the replica at once (SIGKILL), whatever it is at.
func (r *Replica) Kill() error {
	err := r.cmd.Process.Kill()
	<-r.gone
	r.house.is(r, false)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Gone is closed when the process has ended, by itself or by us.
func (r *Replica) Gone() <-chan struct{} { return r.gone }

// Pid is the process.
func (r *Replica) Pid() int { return r.cmd.Process.Pid }

// Log is what the replica printed since its first start, the last 8 KiB of it.
func (r *Replica) Log() string {
	b, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(b[max(0, len(b)-8<<10):]), "?")
}
