package templates

import "time"

// A sample is a page as it may come, to try templates out on.
type sample struct {
	name string
	page Page
}

// samples returns every page in every shape, between them reaching every
// branch of every template.
func samples() []sample {
	var (
		now  = time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
		wiki = App{"Northwind Wiki", "wiki.northwind.example", "https://wiki.northwind.example/login"}
		far  = App{"Northwind Wiki", "wiki.northwind.example", ""}
		here = "/flow/7ZKQ2M5"
		flow = Flow{Action: here, App: wiki, Username: "ada.lovelace"}
		with = func(f Flow, m Message) Flow { f.Problem = &m; return f }
		note = func(f Flow, m Message) Flow { f.Notice = &m; return f }
		own  = Flow{Action: "/account/factor", Username: "ada.lovelace"}
		new  = Flow{Action: here, App: wiki}
		pick = Flow{Action: here, App: wiki, Username: "ada.lovelace", CanSwitch: true}
	)
	why, sure, pay := flow, pick, flow
	why.Why, sure.Why = &Why{[]string{"groups", "transfer"}}, &Why{}
	pay.Why, pay.Details = &Why{[]string{"transfer"}}, []string{"Pay 1,250.00 EUR", "to Lovelace Engines, DE02 1203 0000 0000 2020 51"}
	const uri = "otpauth://totp/Sallyport:ada.lovelace?issuer=Sallyport&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	frames := []string{"https://wiki.northwind.example/out?iss=https%3A%2F%2Fid.example&sid=s1", "http://localhost:8090/out?iss=x&sid=s1"}
	key := Enroll{flow, []byte("\x89PNG\r\n\x1a\n"), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", uri, 6}
	wrong := key
	wrong.Problem = &Message{Text: ClockBehind, Wait: 4 * time.Minute}
	codes := Codes{flow, []string{
		"HK4M-7TQP-2XWD-R9BN-6VYC", "3VYC-J8FS-MPKT-6DQX-W2HR", "QW7R-N2HB-9XJD-4KVT-8MPC", "BT6D-XM3P-K8YC-WF2J-Q7HN",
		"9RNV-4QHK-TD7S-MB3X-2JYW", "J2XK-P9WC-6VRF-YT8N-D4QM", "7DMB-KT4Q-XS9H-2PJW-N3VF", "VC3Y-8NRX-BQ6K-HD5M-T9WP",
		"M9TF-W2JD-P7XV-3KQR-Y6BS", "X4HS-6YBC-N8MT-JR7V-K2DQ",
	}, "/flow/7ZKQ2M5/codes.txt", now}
	bare := codes
	bare.DownloadURL, bare.Made = "", time.Time{}

	return []sample{
		{"password", Password{new, false}},
		{"password-wrong", Password{with(flow, Message{Text: PasswordWrong}), false}},
		{"password-nobody", Password{with(new, Message{Text: UsernameMissing, Field: "username"}), false}},
		{"password-pinned", Password{pick, true}},
		{"password-account", Password{note(Flow{Action: here}, Message{Text: SwitchedAccount}), false}},
		{"factor", Factor{flow, 0, here + "?recovery=1"}},
		{"factor-wrong", Factor{with(flow, Message{Text: CodeWrong}), 6, here + "?recovery=1"}},
		{"factor-replayed", Factor{with(flow, Message{Text: CodeReplayed}), 6, ""}},
		{"factor-wait", Factor{with(flow, Message{Text: CodeWait, Wait: 2 * time.Minute}), 8, here + "?recovery=1"}},
		{"factor-clock", Factor{with(flow, Message{Text: ClockAhead, Wait: 3 * time.Minute}), 6, here + "?recovery=1"}},
		{"factor-notice", Factor{note(flow, Message{Text: RecoveryLeft, Count: 3}), 6, here + "?recovery=1"}},
		{"factor-why", Factor{why, 6, here + "?recovery=1"}},
		{"factor-details", Factor{pay, 6, here + "?recovery=1"}},
		{"password-why", Password{sure, true}},
		{"recovery-details", Recovery{pay, here}},
		{"enrollstart-details", EnrollStart{pay, false, false}},
		{"consent-details", Consent{pay, []string{"openid", "pay"}}},
		{"recovery", Recovery{flow, here}},
		{"recovery-wrong", Recovery{with(flow, Message{Text: RecoveryWrong}), here}},
		{"recovery-alone", Recovery{with(flow, Message{Text: RecoveryReplayed}), ""}},
		{"enrollstart", EnrollStart{flow, false, false}},
		{"enrollstart-ticket", EnrollStart{flow, true, false}},
		{"enrollstart-ticket-wrong", EnrollStart{with(flow, Message{Text: TicketWrong}), true, false}},
		{"enrollstart-expired", EnrollStart{with(flow, Message{Text: SetupExpired}), false, false}},
		{"enrollstart-replace", EnrollStart{own, false, true}},
		{"enroll", key},
		{"enroll-wrong", wrong},
		{"codes", codes},
		{"codes-bare", bare},
		{"consent", Consent{flow, []string{"openid", "profile", "email", "groups", "offline_access"}}},
		{"consent-rare", Consent{Flow{Action: here, App: App{Host: "tools.example"}, Username: "ada.lovelace"}, []string{"address", "phone", "invoices:read"}}},
		{"formpost", FormPost{wiki, "https://wiki.northwind.example/callback?x=1&y=2", []Field{{"code", "Zx9"}, {"state", "a b\"<&>'+"}}}},
		{"formpost-local", FormPost{App{Host: "localhost:8080"}, "http://localhost:8080/cb", []Field{{"error", "access_denied"}}}},
		{"ended-expired", Ended{wiki, EndedExpired, ""}},
		{"ended-used", Ended{far, EndedUsed, ""}},
		{"ended-cancelled", Ended{wiki, EndedCancelled, ""}},
		{"ended-spent", Ended{far, EndedSpent, "c7k2m9x4"}},
		{"ended-changed", Ended{wiki, EndedChanged, ""}},
		{"ended-reset", Ended{far, EndedReset, "c7k2m9x4"}},
		{"ended-denied", Ended{App{}, EndedDenied, "c7k2m9x4"}},
		{"ended-unmet", Ended{far, EndedUnmet, "c7k2m9x4"}},
		{"ended-elsewhere", Ended{wiki, EndedElsewhere, ""}},
		{"ended-signedout", Ended{wiki, EndedSignedOut, ""}},
		{"error", Error{FaultInternal, App{}, "c7k2m9x4", 0}},
		{"error-bad-request", Error{FaultBadRequest, far, "c7k2m9x4", 0}},
		{"error-client", Error{FaultClient, App{}, "c7k2m9x4", 0}},
		{"error-redirect", Error{FaultRedirect, App{}, "c7k2m9x4", 0}},
		{"error-stale", Error{FaultStale, wiki, "c7k2m9x4", 0}},
		{"error-stale-bare", Error{FaultStale, App{Name: "Northwind Wiki"}, "c7k2m9x4", 0}},
		{"error-throttled", Error{FaultThrottled, App{}, "c7k2m9x4", 6 * time.Second}},
		{"error-not-found", Error{FaultNotFound, App{}, "", 0}},
		{"error-method", Error{FaultMethod, App{}, "c7k2m9x4", 0}},
		{"error-too-large", Error{FaultTooLarge, App{}, "c7k2m9x4", 0}},
		{"error-cross-origin", Error{FaultCrossOrigin, App{}, "c7k2m9x4", 0}},
		{"error-cookies", Error{FaultCookies, wiki, "c7k2m9x4", 0}},
		{"error-busy", Error{FaultBusy, App{}, "c7k2m9x4", 0}},
		{"account", sampleAccount(now, wiki)},
		{"account-new", Account{
			Action: "/account", Username: "ada.lovelace", Now: now,
			Sessions: []Session{{ID: "s1", This: true, Created: now, Used: now}},
			Problem:  &Message{Text: ProveAgain},
		}},
		{"signout", SignOut{"/logout/confirm?x=1", wiki, "ada.lovelace", "s1", "/account", nil}},
		{"signout-stays", SignOut{"/logout/confirm", far, "ada.lovelace", "s1", "/account", &Message{Text: LogoutStays}}},
		{"signout-nobody", SignOut{Action: "/logout/confirm", Session: "s1"}},
		{"signedout", SignedOut{SignInURL: "/account"}},
		{"signedout-app", SignedOut{App: wiki, SignInURL: "/account"}},
		{"signedout-far", SignedOut{App: far, SignInURL: "/account"}},
		{"signedout-frames", SignedOut{wiki, "/account", frames, "https://wiki.northwind.example/?state=a%20b&x=%22"}},
		{"signedout-device", SignedOut{App{Name: "Northwind Phone", Host: "example.northwind.phone"}, "", frames[:1], "example.northwind.phone:/bye"}},
		{"signedout-bare", SignedOut{}},
	}
}

func sampleAccount(now time.Time, wiki App) Account {
	return Account{
		Action: "/account", Username: "ada.lovelace", Name: "Ada Lovelace", Now: now,
		Enrolled: true, EnrolledAt: now.AddDate(0, -2, -19), RecoveryLeft: 7,
		Sessions: []Session{
			{"s1", true, "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "192.0.2.7", now.Add(-3 * time.Hour), now.Add(-20 * time.Second)},
			{"s2", false, "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile Safari/604.1", "2001:db8::4a1f", now.Add(-70 * time.Hour), now.Add(-2 * time.Hour)},
		},
		Consents: []Allowed{
			{"wiki", wiki, []string{"openid", "profile", "groups"}, now.AddDate(0, -1, 0)},
			{"mail", App{"Post", "mail.northwind.example", ""}, []string{"openid", "email", "offline_access"}, time.Time{}},
		},
		Activity: []Activity{
			{now.Add(-4 * time.Minute), "sign-in", false, "Northwind Wiki", "192.0.2.7"},
			{now.Add(-5 * time.Minute), "factor", true, "Northwind Wiki", "192.0.2.7"},
			{now.Add(-2 * time.Hour), "sign-in", false, "Post", "2001:db8::4a1f"},
			{now.Add(-26 * time.Hour), "recovery", false, "", "2001:db8::4a1f"},
			{now.AddDate(0, -2, -19), "enroll", false, "", "192.0.2.7"},
			{now.AddDate(0, -3, 0), "something-new", false, "", ""},
		},
		Notice: &Message{Text: ConsentRevoked, Name: "Northwind Calendar"},
	}
}
