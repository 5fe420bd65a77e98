package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/domsnapshot"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A tab is one of a real Chromium in which no script runs. It is used as by
// someone who has no mouse and no screen: read as a screen reader reads it,
// through the accessibility tree, and moved in by the keyboard alone. So a
// label that is missing, or a button that Tab does not reach, stops the test.
type tab struct {
	t         *testing.T
	ctx       context.Context
	downloads string
	wide      view

	mu     sync.Mutex
	faults []string // what the browser complained of
}

// A view is a size of the window.
type view struct {
	name          string
	width, height int64
	scale         float64
	phone         bool
}

// need stops the test unless these programs are there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not on this machine: make test installs it.", p)
		}
	}
}

// newTab starts a browser with nothing in its profile.
func newTab(t *testing.T, ctx context.Context) *tab {
	t.Helper()
	b := &tab{t: t, downloads: t.TempDir(), wide: view{"desktop", 1024, 768, 1, false}}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.CombinedOutput(io.Discard),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
	}
	for _, f := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "disable-extensions",
	} {
		options = append(options, chromedp.Flag(f, true))
	}
	options = append(options, chromedp.Flag("accept-lang", "en"), chromedp.Flag("force-color-profile", "srgb"))
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	b.ctx = ctx

	err := chromedp.Listen(ctx, b.listen)
	b.scripts(false)
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	call(b, accessibility.Enable, cdp.Empty{})
	call(b, audits.Enable, cdp.Empty{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	events := true
	_, err2 := chromedp.CallBrowser(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: b.downloads, EventsEnabled: &events,
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	b.look(b.wide, "light")
	return b
}

// scripts lets scripts run, or not.
func (b *tab) scripts(run bool) {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
}

// call sends the browser a command.
func call[P, R any](b *tab, cmd cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, cmd, params)
	if err != nil {
		b.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

// listen writes down what the browser complains of: content that the policy
// blocks, requests that fail, and whatever else its console shows in red.
func (b *tab) listen(ev any) {
	switch ev := ev.(type) {
	case *audits.EventIssueAdded:
		b.fault("issue %s %s", ev.Issue.Code, describe(ev.Issue.Details))
	case *log.EventEntryAdded:
		// That the status of an answer is no success is said here too, and
		// checked where the page is.
		if ev.Entry.Source != log.EntrySourceNetwork || !strings.Contains(ev.Entry.Text, "status of 4") {
			b.fault("%s %s: %s %s", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		b.fault("console %s", ev.Type)
	case *network.EventLoadingFailed:
		if ev.BlockedReason != "" || !ev.Canceled {
			b.fault("request failed: %s %s", ev.ErrorText, ev.BlockedReason)
		}
	}
}

func (b *tab) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

func describe(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// clean fails the test if the browser complained of anything.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("the browser complained: %s", f)
	}
}

// A thing is what the page has for those who cannot see it.
type thing struct {
	role, name, value, description string
	focused, focusable, invalid    bool
	node                           cdp.BackendNodeID
}

func (x thing) String() string { return fmt.Sprintf("%s %q", x.role, x.name) }

// things returns everything on the page in reading order.
func (b *tab) things() (all []thing) {
	b.t.Helper()
	tree := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range tree {
		byID[n.NodeID] = n
	}
	var visit func(n *accessibility.Node)
	visit = func(n *accessibility.Node) {
		if !n.Ignored {
			x := thing{role: text(n.Role), name: text(n.Name), value: text(n.Value), description: text(n.Description), node: n.BackendDOMNodeID}
			for _, p := range n.Properties {
				switch is := text(p.Value) == "true"; p.Name {
				case accessibility.PropertyNameFocused:
					x.focused = is
				case accessibility.PropertyNameFocusable:
					x.focusable = is
				case accessibility.PropertyNameInvalid:
					x.invalid = is
				}
			}
			all = append(all, x)
		}
		for _, id := range n.ChildIDs {
			if child := byID[id]; child != nil {
				visit(child)
			}
		}
	}
	if len(tree) > 0 {
		visit(tree[0])
	}
	return all
}

// text returns a value of the accessibility tree, the empty string for none.
func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal([]byte(v.Value), &s) == nil {
		return s
	}
	return string(v.Value)
}

// said returns the words on the page.
func (b *tab) said() string {
	b.t.Helper()
	var words []string
	for _, x := range b.things() {
		if x.role == "StaticText" {
			words = append(words, x.name)
		}
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// after returns the words that follow the words head, such as the value of a
// row.
func (b *tab) after(head string) string {
	b.t.Helper()
	var all []string
	for _, x := range b.things() {
		if x.role == "StaticText" {
			all = append(all, x.name)
		}
	}
	if i := slices.Index(all, head); i >= 0 && i+1 < len(all) {
		return strings.TrimSpace(all[i+1])
	}
	b.t.Fatalf("%q is not on the page, or nothing after it: %s", head, all)
	return ""
}

// on stops the test unless the page has this heading and says these words.
func (b *tab) on(heading string, words ...string) {
	b.t.Helper()
	if !slices.ContainsFunc(b.things(), func(x thing) bool { return x.role == "heading" && x.name == heading }) {
		b.t.Fatalf("this is not the page %q, but %s: %s", heading, b.at(), b.said())
	}
	said := b.said()
	for _, w := range words {
		if !strings.Contains(said, w) {
			b.t.Fatalf("the page %q does not say %q: %s", heading, w, said)
		}
	}
}

// at returns the URL of the page.
func (b *tab) at() *url.URL {
	b.t.Helper()
	h := call(b, cdppage.GetNavigationHistory, cdp.Empty{})
	u, err := url.Parse(h.Entries[h.CurrentIndex].URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// path returns the path of the page; empty while the browser is on its way from
// one page to another by itself, when it has none that could be asked.
func (b *tab) path() string {
	h, err := chromedp.Call(b.ctx, cdppage.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		return ""
	}
	u, err := url.Parse(h.Entries[h.CurrentIndex].URL)
	if err != nil {
		return ""
	}
	return u.Path
}

// arrive does something that leads to another page, and returns the status of
// the answer. A field that wants the focus gets it a little after the page has
// come; typing before would go elsewhere.
func (b *tab) arrive(action chromedp.Action[chromedp.Void]) int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	from := b.at()
	resp, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		b.t.Errorf("no page came after %s, but %s: %v", from, b.at(), err)
		b.clean()
		b.t.FailNow()
	}
	if slices.Contains(b.snapshot().Strings, "autofocus") {
		poll(b.t, ctx, "the focus", func() bool { return b.focused().node != 0 })
	}
	return resp.Status
}

// open goes to a URL, as if it was typed.
func (b *tab) open(u string) int64 {
	b.t.Helper()
	return b.arrive(chromedp.Navigate(u))
}

// back is the back button.
func (b *tab) back() {
	b.t.Helper()
	b.arrive(chromedp.NavigateBack())
}

// keys presses keys.
func (b *tab) keys(keys string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent(keys)); err != nil {
		b.t.Fatal(err)
	}
}

// focused returns what has the focus, a zero thing if it is the page.
func (b *tab) focused() thing {
	b.t.Helper()
	for _, x := range b.things() {
		if x.focused && x.role != "RootWebArea" {
			return x
		}
	}
	return thing{}
}

// reach presses Tab until a thing has the focus.
func (b *tab) reach(role, name string) thing {
	b.t.Helper()
	var passed []string
	for range 60 {
		x := b.focused()
		if x.role == role && x.name == name {
			return x
		}
		passed = append(passed, x.String())
		b.keys(kb.Tab)
	}
	b.t.Fatalf("Tab does not reach %s %q on %s, only %s", role, name, b.at(), passed)
	return thing{}
}

// fill types into a field, over what was there.
func (b *tab) fill(label, value string) {
	b.t.Helper()
	b.reach("textbox", label)
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))); err != nil {
		b.t.Fatal(err)
	}
	b.keys(value)
}

// press presses a button and returns the status of the page it leads to.
func (b *tab) press(name string) int64 {
	b.t.Helper()
	b.reach("button", name)
	return b.arrive(chromedp.KeyEvent(kb.Enter))
}

// follow follows a link.
func (b *tab) follow(name string) int64 {
	b.t.Helper()
	b.reach("link", name)
	return b.arrive(chromedp.KeyEvent(kb.Enter))
}

// download follows a link to a file, and returns what is in it.
func (b *tab) download(name string) (file, content string) {
	b.t.Helper()
	b.reach("link", name)
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	done := make(chan string, 16)
	suggested := ""
	err := chromedp.ListenBrowser(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *cdpbrowser.EventDownloadWillBegin:
			suggested = ev.SuggestedFilename
		case *cdpbrowser.EventDownloadProgress:
			if ev.State != cdpbrowser.DownloadProgressStateInProgress {
				done <- string(ev.State)
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.keys(kb.Enter)
	select {
	case state := <-done:
		if state != string(cdpbrowser.DownloadProgressStateCompleted) {
			b.t.Fatalf("the download of %q was %s", name, state)
		}
	case <-ctx.Done():
		b.t.Fatalf("nothing was downloaded by %q", name)
	}
	text, err := os.ReadFile(filepath.Join(b.downloads, suggested))
	if err != nil {
		b.t.Fatal(err)
	}
	return suggested, string(text)
}

// tabs goes once through the page by Tab, and fails the test unless each thing
// that can have the focus gets it, in reading order, and shows that it has it.
func (b *tab) tabs() {
	b.t.Helper()
	var want []cdp.BackendNodeID
	names := map[cdp.BackendNodeID]string{}
	for _, x := range b.things() {
		if x.focusable && x.role != "RootWebArea" {
			want = append(want, x.node)
			names[x.node] = x.String()
			if x.name == "" && x.role != "generic" {
				b.t.Errorf("%s: a %s has no name", b.at(), x.role)
			}
		}
	}
	var got []cdp.BackendNodeID
	for range 2*len(want) + 4 {
		b.keys(kb.Tab)
		if x := b.focused(); x.node != 0 && !slices.Contains(got, x.node) {
			got = append(got, x.node)
			if !b.outlined(x.node) {
				b.t.Errorf("%s: that %s has the focus does not show", b.at(), x)
			}
		}
	}
	if len(want) == 0 {
		return
	}
	// Where one begins depends on what had the focus before.
	if i := slices.Index(got, want[0]); i > 0 {
		got = slices.Concat(got[i:], got[:i])
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: Tab goes to %v of %v (%v)", b.at(), got, want, names)
	}
}

// outlined reports whether a line is drawn around a node.
func (b *tab) outlined(node cdp.BackendNodeID) bool {
	b.t.Helper()
	snap := b.snapshot()
	doc := snap.Documents[0]
	for i, at := range doc.Layout.NodeIndex {
		if doc.Nodes.BackendNodeID[at] == node {
			return snap.Strings[doc.Layout.Styles[i][0]] == "solid"
		}
	}
	return false
}

// snapshot returns the document with the outline of each of its boxes. Unlike
// nodes that are asked for one by one, it stands while the browser goes on.
func (b *tab) snapshot() domsnapshot.CaptureSnapshotResult {
	b.t.Helper()
	return call(b, domsnapshot.CaptureSnapshot, domsnapshot.CaptureSnapshotParams{ComputedStyles: []string{"outline-style"}})
}
