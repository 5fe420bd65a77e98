package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"strings"

	"github.com/gorilla/mux"
	"github.com/pquerna/otp"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/templates"
)

// errElsewhere says that a flow was begun in another browser.
var errElsewhere = errors.New("provider: flow of another browser")

// showFlow shows the page of the step that a flow is at. It changes nothing,
// but for a flow that waits for nothing more, which it finishes as
// GET /authorize would.
func (p *Provider) showFlow(r *request) (answer, error) {
	t, err := p.flowOf(r)
	if err != nil {
		return p.unlessElsewhere(r, err)
	}
	step, err := t.next()
	switch {
	case err != nil:
		return p.denied(r, t, err)
	case step == authflow.Granted:
		return p.grant(r, t, p.flowURL(t.flow.ID))
	}
	return p.show(r, t, step, nil)
}

// flowOf loads the flow that r's path names, for the browser that began it.
func (p *Provider) flowOf(r *request) (*passage, error) {
	f, err := p.flow(r.Context(), r)
	if err != nil {
		return nil, err
	}
	return p.load(r.Context(), r, f)
}

// flow reads the flow that r's path names. To another browser than its own it
// gives nothing away.
func (p *Provider) flow(ctx context.Context, r *request) (Flow, error) {
	f, err := p.store.Flow(ctx, mux.Vars(r.Request)["id"])
	if errors.Is(err, ErrNotFound) {
		return Flow{}, errElsewhere
	}
	if err != nil {
		return Flow{}, fmt.Errorf("reading the flow: %w", err)
	}
	if browser, ok := p.cookies.browserOf(r.Request); !ok || browser != f.Browser {
		return Flow{}, errElsewhere
	}
	return f, nil
}

// unlessElsewhere returns err, but answers for a flow that is not there or not
// this browser's: the same, so that nobody learns which.
func (p *Provider) unlessElsewhere(r *request, err error) (answer, error) {
	if !errors.Is(err, errElsewhere) {
		return answer{}, err
	}
	return answer{
		status: http.StatusForbidden,
		page:   templates.Ended{Kind: templates.EndedElsewhere, RequestID: r.id},
	}, nil
}

// show returns the page of a step, with what was wrong with the last answer.
func (p *Provider) show(r *request, t *passage, step authflow.Step, problem *templates.Message) (answer, error) {
	a := answer{targets: t.targets()}
	if problem != nil {
		a.status = http.StatusUnprocessableEntity
		if problem.Text == templates.CodeWait {
			a.status = http.StatusTooManyRequests
			a.header = map[string]string{"Retry-After": fmt.Sprint(int(problem.Wait.Seconds()) + 1)}
		}
	}
	f := templates.Flow{
		Action: p.flowPath(t.flow.ID), App: p.app(t), Username: t.user.Username, Problem: problem,
	}
	if t.asksAgain(step) {
		f.Why = p.why(t)
	}
	ctx := r.Context()
	var err error
	if step != authflow.AskPassword { // who has not said who they are is shown nothing
		if f.Details, err = t.details.shown(r.lang); err != nil {
			return answer{}, err
		}
	}
	switch step {
	case authflow.AskPassword:
		a.page, err = p.passwordPage(ctx, r, t, f)
	case authflow.AskFactor:
		a.page = p.factorPage(r, t, f)
	case authflow.AskEnroll:
		a.page, err = p.enrollPage(ctx, t.user, t.flow.ID, t.moment.Status, f)
	case authflow.ShowCodes:
		a.page, err = p.codesPage(ctx, r, t.user.Subject, t.flow.ID, f, p.flowPath(t.flow.ID)+"/codes.txt")
	case authflow.AskConsent:
		a.page = templates.Consent{Flow: f, Scopes: t.covered()}
	default:
		err = fmt.Errorf("provider: step %v has no page", step)
	}
	return a, err
}

// flowPath is the path that the forms of a flow post to.
func (p *Provider) flowPath(id string) string { return p.issuer.Path + "/flow/" + id }

func (p *Provider) passwordPage(ctx context.Context, r *request, t *passage, f templates.Flow) (templates.Page, error) {
	f.CanSwitch = t.flow.State.CanSwitch(t.moment)
	pinned := t.flow.State.Pinned
	if pinned == "" {
		pinned = t.moment.Subject
	}
	if t.asked.subject != "" && t.form.Get(hintedSubject) == "" {
		// Anyone can put any subject into a URL, and would be told the name.
		pinned = ""
	}
	if pinned != "" && t.user.Subject != pinned {
		u, err := p.config.Directory.User(ctx, pinned)
		if err != nil && !errors.Is(err, ErrNoUser) {
			return nil, fmt.Errorf("reading the user: %w", err)
		}
		f.Username = u.Username
	}
	switch {
	case pinned != "":
	case r.Method == http.MethodPost:
		f.Username = r.PostForm.Get("username")
	default:
		f.Username = t.form.Get("login_hint")
	}
	return templates.Password{Flow: f, Pinned: pinned != "" && f.Username != ""}, nil
}

// fewCodes is how many recovery codes are so few that each sign-in says so.
const fewCodes = 3

func (p *Provider) factorPage(r *request, t *passage, f templates.Flow) templates.Page {
	asked := t.flow.State.Asked(t.moment)
	code, recovery := asked.Has(authflow.OTP), asked.Has(authflow.Recovery)
	if recovery && (!code || strings.HasSuffix(r.URL.Path, "/recovery")) {
		page := templates.Recovery{Flow: f}
		if code {
			page.CodeURL = f.Action
		}
		page.Action += "/recovery" // so that a wrong code is answered with this page
		return page
	}
	page := templates.Factor{Flow: f, Digits: p.config.Digits}
	if recovery {
		page.RecoveryURL = f.Action + "/recovery"
	}
	if left := t.moment.RecoveryLeft; left <= fewCodes {
		page.Notice = &templates.Message{Text: templates.RecoveryLeft, Count: left}
	}
	return page
}

// enrollPage offers to set a factor up or, once that is begun, shows it.
func (p *Provider) enrollPage(ctx context.Context, u User, binding string, s authflow.Status, f templates.Flow) (templates.Page, error) {
	uri := ""
	if s.Pending {
		var err error
		if uri, err = p.config.Factor.Pending(ctx, u.Subject, binding); err != nil {
			return nil, fmt.Errorf("reading the pending factor: %w", err)
		}
	}
	replace := s.Enrolled.Has(authflow.OTP)
	if uri == "" {
		return templates.EnrollStart{Flow: f, Ticket: s.Ticket && !replace, Replace: replace}, nil
	}
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		// The text holds the secret: it is not wrapped.
		return nil, errors.New("provider: the pending factor has no proper URI")
	}
	img, err := key.Image(232, 232)
	if err != nil {
		return nil, errors.New("provider: the pending factor fits no QR code")
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("drawing the QR code: %w", err)
	}
	return templates.Enroll{Flow: f, QR: b.Bytes(), Key: key.Secret(), URI: uri, Digits: p.config.Digits}, nil
}

func (p *Provider) codesPage(ctx context.Context, r *request, subject, binding string, f templates.Flow, download string) (templates.Codes, error) {
	codes, err := p.config.Factor.Codes(ctx, subject, binding)
	if err != nil {
		return templates.Codes{}, fmt.Errorf("reading the new recovery codes: %w", err)
	}
	return templates.Codes{Flow: f, Codes: codes, DownloadURL: download, Made: r.now}, nil
}

// downloadCodes gives new recovery codes as a file, while their page is shown.
func (p *Provider) downloadCodes(r *request) (answer, error) {
	t, err := p.flowOf(r)
	if err != nil {
		return p.unlessElsewhere(r, err)
	}
	step, err := t.next()
	if err != nil {
		return p.denied(r, t, err)
	}
	if step != authflow.ShowCodes {
		return answer{location: p.flowURL(t.flow.ID)}, nil
	}
	f := templates.Flow{App: p.app(t), Username: t.user.Username}
	codes, err := p.codesPage(r.Context(), r, t.user.Subject, t.flow.ID, f, "")
	if err != nil {
		return answer{}, err
	}
	return p.codesFile(r, codes), nil
}

func (p *Provider) codesFile(r *request, codes templates.Codes) answer {
	return answer{
		data: p.pages.CodesFile(r.lang, codes), kind: "text/plain; charset=utf-8",
		header: map[string]string{"Content-Disposition": `attachment; filename="recovery-codes.txt"`},
	}
}

// targets returns where the forms of t's pages may lead in the end: to the
// client, and where that sends the browser on to.
func (t *passage) targets() []string {
	if t.account() {
		return nil
	}
	return t.client.targets(t.form.Get("redirect_uri"))
}

// asset serves what pages refer to. Its name changes with its content.
func (p *Provider) asset(r *request) (answer, error) {
	a, ok := p.pages.Asset(mux.Vars(r.Request)["name"])
	if !ok {
		return answer{}, errNotFound
	}
	return answer{data: a.Data, kind: a.Type, cache: "public, max-age=31536000, immutable"}, nil
}
