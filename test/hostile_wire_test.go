package test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// frames are ways to say where a request ends, and whose it is, that different
// servers understand differently (RFC 9112 section 11.2).
func (l lure) frames() (all []hostile) {
	add := func(name, text string) { all = append(all, bad(l.name+", "+name, text)) }
	whole := l.encoded(plainly)
	text := l.text(whole)
	line, rest, _ := strings.Cut(text, "\r\n")
	for name, host := range map[string]string{
		"without a host": "", "with two hosts": "Host: idp.example\r\nHost: evil.example\r\n",
		"with a host that is a path": "Host: idp.example/evil\r\n", "with a host and a space": "Host: idp.example evil.example\r\n",
		"with a space before the colon": "Host : idp.example\r\n",
		"with a zero byte in a header":  "Host: idp.example\r\nX-A: b\x00c\r\n", "with a header without a name": "Host: idp.example\r\n: b\r\n",
		"with a header that is none": "Host: idp.example\r\nnonsense\r\n", "with a bare CR in a header": "Host: idp.example\r\nX-A: b\rAuthorization: c\r\n",
		"with what it expects": "Host: idp.example\r\nExpect: 200-ok\r\n",
	} {
		add(name, line+"\r\n"+host+strings.TrimPrefix(rest, "Host: idp.example\r\n"))
	}
	for name, first := range map[string]string{
		"of no version": strings.TrimSuffix(line, " HTTP/1.1"), "of a version that is none": strings.TrimSuffix(line, "1.1") + "1.1 x", "with a tab": strings.Replace(line, " ", "\t", 1),
		"with two spaces": strings.Replace(line, " ", "  ", 1), "of another scheme": strings.Replace(line, "HTTP/", "ICY/", 1),
		"without a path": l.method + " HTTP/1.1", "with a space in its path": strings.Replace(line, "/", "/ ", 1),
		"with a zero byte in its path": strings.Replace(line, " HTTP", "\x00 HTTP", 1), "with a line break in its path": strings.Replace(line, " HTTP", "\n HTTP", 1),
	} {
		add(name, first+"\r\n"+rest)
	}
	if l.method != http.MethodPost {
		return all
	}
	head, _, _ := strings.Cut(text, "Content-Length:")
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(whole), whole)
	for name, is := range map[string]struct{ lines, body string }{
		"in chunks without an end":        {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", len(whole)+9, whole)},
		"in chunks of no size":            {"Transfer-Encoding: chunked\r\n", "zz\r\n" + whole},
		"in chunks of a size too large":   {"Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n" + whole},
		"in chunks of a negative size":    {"Transfer-Encoding: chunked\r\n", "-1\r\n" + whole},
		"in chunks of 0x":                 {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("0x%x\r\n%s\r\n0\r\n\r\n", len(whole), whole)},
		"in chunks that are too many":     {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s&x=\r\n11000\r\n%s\r\n0\r\n\r\n", len(whole)+3, whole, strings.Repeat("a", 0x11000))},
		"in chunks, otherwise":            {"Transfer-Encoding: xchunked\r\n", chunked},
		"in chunks and identity":          {"Transfer-Encoding: chunked, identity\r\n", chunked},
		"in chunks twice":                 {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked},
		"in chunks of chunks":             {"Transfer-Encoding: chunked, chunked\r\n", chunked},
		"in gzip chunks":                  {"Transfer-Encoding: gzip, chunked\r\n", chunked},
		"in chunks, with a vertical tab":  {"Transfer-Encoding: \vchunked\r\n", chunked},
		"in chunks, in quotes":            {"Transfer-Encoding: \"chunked\"\r\n", chunked},
		"in chunks, with a space":         {"Transfer-Encoding : chunked\r\n", chunked},
		"with two lengths":                {fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n", len(whole)), whole},
		"with two lengths in one":         {fmt.Sprintf("Content-Length: %d, 0\r\n", len(whole)), whole},
		"with a negative length":          {"Content-Length: -1\r\n", whole},
		"with a signed length":            {fmt.Sprintf("Content-Length: +%d\r\n", len(whole)), whole},
		"with a length in hex":            {fmt.Sprintf("Content-Length: 0x%x\r\n", len(whole)), whole},
		"with a length beyond":            {"Content-Length: 99999999999999999999\r\n", whole},
		"with a length that is too short": {"Content-Length: 3\r\n", whole},
		"with a length that is too long":  {fmt.Sprintf("Content-Length: %d\r\n", len(whole)+10), whole},
		"without a length":                {"", whole},
		// What follows the end that one of two lengths says is no second request
		// that is granted.
		"in chunks, with a length": {fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(whole)+5), "0\r\n\r\n" + whole},
		"with a request inside": {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
			"0\r\n\r\nGET /userinfo HTTP/1.1\r\nHost: idp.example\r\nConnection: close\r\n\r\n"},
		"with its end in a trailer": {"Transfer-Encoding: chunked\r\nTrailer: Authorization, Content-Type\r\n",
			"0\r\nAuthorization: " + basic("app", appSecret) + "\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"},
	} {
		add(name, head+is.lines+"Connection: close\r\n\r\n"+is.body)
		all[len(all)-1].cut = strings.HasSuffix(name, "without an end") || strings.HasSuffix(name, "too long")
	}
	return all
}

// paths are addresses that are not the door's, and that something on the way
// might take for it.
func (l lure) paths() (all []hostile) {
	p := l.path
	for name, path := range map[string]string{
		"twice the slash": "/" + p, "a slash behind": p + "/", "a dot": "/." + p, "two dots": "/x/.." + p, "dots in escapes": "/x/%2e%2e" + p,
		"escaped dots and slash": "/x%2f..%2f" + p[1:], "an escaped slash": "/%2f" + p[1:], "an escaped slash behind": p + "%2f",
		"an escaped letter": "/" + escaped(p[1:2]) + p[2:], "all of it escaped": "/" + escaped(p[1:]), "escaped twice": "/%25" + fmt.Sprintf("%02x", p[1]) + p[2:],
		"in capitals": swapped(p), "a parameter": p + ";x=y", "a parameter before": "/x;y=z/.." + p, "a suffix": p + ".json", "a zero byte": p + "%00", "a zero byte and more": p + "%00.css",
		"a space": p + "%20", "a tab": p + "%09", "a line break": p + "%0d%0aX-A:%20b", "a backslash": "/\\" + p[1:], "an escaped backslash": "/x/..%5c" + p[1:],
		"no UTF-8": p + "%ff", "an overlong slash": "/%c0%af" + p[1:], "an overlong dot": "/x/%c0%ae%c0%ae" + p, "a number sign": p + "%23", "a question mark": p + "%3f", "an asterisk": p + "*",
		"a bad escape": p + "%zz", "half an escape": p + "%", "an issuer": "/id" + p, "below": p + "/x", "a user": "/@evil.example" + p,
		"an invisible space": p + "%e2%80%8b", "a colon": p + ":80", "a version": "/v1" + p, "a tilde": "/~" + p,
	} {
		there := l
		there.path = path
		all = append(all, bad(l.name+", its path with "+name, there.text(l.encoded(plainly))))
	}
	return all
}

// methods are verbs that the door does not know, by themselves or by what a
// framework takes for one.
func (l lure) methods() (all []hostile) {
	whole := l.encoded(plainly)
	line := strings.SplitN(l.text(whole), "\r\n", 2)
	_, target, _ := strings.Cut(line[0], " ")
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "TRACE", "PROPFIND", "DEBUG", strings.ToLower(l.method), l.method + "X"} {
		all = append(all, bad(l.name+", by "+method, method+" "+target+"\r\n"+line[1]))
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		all = append(all, bad(l.name+", by PUT and "+header, "PUT "+target+"\r\n"+header+": "+l.method+"\r\n"+line[1]))
	}
	return append(all, bad(l.name+", by PUT and a parameter", l.text("_method=" + l.method + "&" + whole)[:0]+"PUT "+target+"\r\n"+
		strings.TrimPrefix(l.text("_method="+l.method+"&"+whole), line[0]+"\r\n")))
}

// additions are parameters beside those of a good authorization request.
func (b *bait) additions() (all []hostile) {
	l := b.lures[0]
	for _, s := range []string{
		"request=eyJhbGciOiJub25lIn0.e30.", "request=x", "request_uri=https://evil.example/r", "request_uri=http://169.254.169.254/latest/meta-data/",
		"request_uri=file:///etc/passwd", "request_uri=urn:ietf:params:oauth:request_uri:x", "registration={}", "response_mode=fragment",
		"response_mode=query.jwt", "response_mode=web_message", "response_mode=FORM_POST", "prompt=none+login", "prompt=create", "prompt=none%00",
		"max_age=-1", "max_age=0x10", "max_age=1e3", "max_age=99999999999999999999", "max_age=%D9%A1", "max_age=NaN", "max_age=null",
		"claims={", "claims=[]", "claims={}{}", "claims=" + strings.Repeat("[", 2000), "claims=%22", "claims={%22userinfo%22:[]}",
		"claims={%22id_token%22:{%22acr%22:{%22essential%22:true,%22value%22:%22phr%22}}}", "acr_values=phr", "id_token_hint=x", "id_token_hint=..",
		"resource=https://evil.example", "resource=/x", "resource=" + url.QueryEscape(calendar) + "%23", "resource=%00",
		"resource=" + url.QueryEscape(calendar) + "&resource=https://evil.example", "claims={%22id_token%22:{%22sub%22:{%22value%22:%22%22}}}",
	} {
		all = append(all, told("authorize, with "+s, l.text(l.encoded(plainly)+"&"+s)))
	}
	for _, scope := range []string{"openid admin", "openid *", "openid profile.read", "openid\tprofile", "openid\x00", "openid,profile", "OPENID", "openid \xff", "<script>", `"`} {
		text := l.text(l.encoded(func(n, v string) string {
			if n == "scope" {
				v = scope
			}
			return plainly(n, v)
		}))
		all = append(all, told("authorize, the scope "+fmt.Sprintf("%q", scope), text))
	}
	return all
}

// forgeries are tokens that nobody issued, wherever one is taken.
func (b *bait) forgeries() (all []hostile) {
	t := b.t
	tokens := b.tokens(offline())
	for _, kind := range []string{"access_token", "id_token"} {
		token := tokens.text(t, kind)
		h, c := headerOf(t, token), claimsOf(t, token)
		parts := strings.Split(token, ".")
		es := but(h, "alg", "ES256")
		forged := map[string]string{
			"tampered": tampered(token), "without a signature": parts[0] + "." + parts[1] + ".", "in two parts": parts[0] + "." + parts[1],
			"in four parts": token + ".x", "encrypted": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", "padded": token + "=", "without a header": "." + parts[1] + "." + parts[2],
			"as JSON":  fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
			"in JSON":  fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2]),
			"in lines": parts[0] + ".\n" + parts[1] + "." + parts[2], "in quotes": `"` + token + `"`, "with a zero byte": token + "\x00", "with another behind": token + "," + token,
			"by another key": mintWith(t, stranger, es, c), "by another key, with a jwk": mintWith(t, stranger, but(but(es, "jwk", jwkOf(stranger)), "kid", nil), c),
			"by another key, our kid and a jwk": mintWith(t, stranger, but(es, "jwk", jwkOf(stranger)), c), "with a jku": mintWith(t, stranger, but(es, "jku", "https://evil.example/jwks"), c),
			"with a jku of a host like ours": mintWith(t, stranger, but(es, "jku", issuer+".evil.example/jwks.json"), c), "with an x5u": mintWith(t, stranger, but(es, "x5u", "https://evil.example/c"), c),
			"with an x5c": mintWith(t, stranger, but(es, "x5c", []string{"MIIB"}), c), "without a kid": mint(t, but(h, "kid", nil), c), "with a kid of no text": mint(t, but(h, "kid", 1), c),
			"critical": mint(t, but(h, "crit", []string{"exp"}), c), "unencoded": mint(t, but(but(h, "b64", false), "crit", []string{"b64"}), c),
			"signed by 32 zeros":   parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
			"of an ES256 of zeros": strings.Join(strings.Split(mintWith(t, stranger, es, c), ".")[:2], ".") + "." + strings.Repeat("A", 86),
		}
		for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "hs256", "RS384", "PS256", "ES384", "ES512", "EdDSA", "RS256\x00", "A128KW"} {
			forged["of the algorithm "+alg] = mint(t, but(h, "alg", alg), c)
		}
		for _, kid := range []string{"", "../../dev/null", "/dev/null", "' OR '1'='1", "\x00", strings.Repeat("k", 5000), "https://evil.example/key", key(t, "ES256").ID} {
			forged[fmt.Sprintf("of the kid %.20q", kid)] = mint(t, but(h, "kid", kid), c)
		}
		for _, typ := range []string{"", "dpop+jwt", "logout+jwt", "JWE", "at+jwt+x", "application/at+jwt", "jwt"} {
			forged["of the type "+typ] = mint(t, but(h, "typ", typ), c)
		}
		for _, name := range slices.Sorted(maps.Keys(forged)) {
			token := forged[name]
			what := "an " + kind + " " + name
			if kind == "access_token" {
				posted := b.lures[slices.IndexFunc(b.lures, func(l lure) bool { return l.name == "userinfo posted" })]
				all = append(all, bad(what+" at userinfo, posted", posted.text(plainly("access_token", token))))
				if !strings.ContainsAny(token, "\n\x00") {
					shown := b.lures[slices.IndexFunc(b.lures, func(l lure) bool { return l.name == "userinfo" })]
					shown.header = []string{"Authorization: Bearer " + token}
					all = append(all, bad(what+" at userinfo", shown.text("")))
				}
				for _, v := range []url.Values{exchange(token), refresh(token)} {
					token := lure{method: "POST", path: "/token", header: []string{"Authorization: " + basic("app", appSecret)}}
					all = append(all, bad(what+" as "+v.Get("grant_type"), token.text(v.Encode())))
				}
				continue
			}
			l := b.lures[0]
			all = append(all, told(what+" as a hint", l.text(l.encoded(plainly)+"&"+plainly("id_token_hint", token))))
		}
	}
	return all
}

// credentials are ways to say who one is that are none, or two.
func (b *bait) credentials() (all []hostile) {
	raw := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	pair := "app:" + url.QueryEscape(appSecret)
	for _, l := range b.lures {
		if l.method != http.MethodPost || l.path != "/token" && l.path != "/revoke" && l.path != "/introspect" {
			continue
		}
		body := l.encoded(func(n, v string) string {
			if n == "client_id" || n == "client_secret" {
				return ""
			}
			return plainly(n, v)
		})
		for _, lines := range [][]string{
			{}, {"Basic"}, {"Basic "}, {"Basic " + raw("")}, {"Basic " + raw(":")}, {"Basic " + raw("app")}, {"Basic " + raw("app:")}, {"Basic " + raw(":"+appSecret)},
			{"Basic " + raw("app:"+appSecret+"\x00")}, {"Basic " + raw("app\x00:"+url.QueryEscape(appSecret))}, {"Basic " + raw(" "+pair)}, {"Basic " + raw(pair+"\n")},
			{"Basic " + raw("app:"+raw(appSecret))}, {"Basic " + raw("app:%zz")}, {"Basic " + raw("%61pp%:"+appSecret)}, {"Basic " + raw("app%00:"+url.QueryEscape(appSecret))},
			{"Basic " + strings.Repeat("A", 5000)}, {"Basic ***"}, {"Basic " + url.QueryEscape(raw(pair))}, {"Basic " + raw(pair) + " " + raw(pair)}, {"Basic\x01" + raw(pair)},
			{"Basic" + raw(pair)}, {"Bearer " + raw(pair)}, {"Digest username=\"app\""}, {"Negotiate " + raw(pair)}, {"DPoP x"}, {raw(pair)}, {"basic:" + raw(pair)},
			{"Basic " + raw(pair), "Basic " + raw(pair)}, {"Basic " + raw(pair), "Bearer x"}, {"Bearer x", "Basic " + raw(pair)}, {"Basic " + raw(pair) + ", Bearer x"},
			{"Basic " + raw("nobody:"+url.QueryEscape(appSecret))}, {"Basic " + raw("APP:"+url.QueryEscape(appSecret))}, {"Basic " + raw("' OR 1=1--:x")},
			{"Basic " + base64.StdEncoding.EncodeToString([]byte("app:"+fmt.Sprintf("%x", hash(appSecret))))},
		} {
			is := l
			is.header = nil
			for _, s := range lines {
				is.header = append(is.header, "Authorization: "+s)
			}
			all = append(all, bad(fmt.Sprintf("%s, by %.60q", l.name, lines), is.text(body)))
		}
		for _, s := range []string{"client_assertion=x", "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_id=other", "client_secret=x", "client_secret=%00"} {
			is := l
			is.header = []string{"Authorization: Basic " + raw(pair)}
			all = append(all, bad(l.name+", by two ways, "+s, is.text(body+"&"+s)))
		}
	}
	return all
}

// elsewhere are headers that lie about where a request came from and where it
// goes, forms of other sites, and names of what is not there.
func (b *bait) elsewhere() (all []hostile) {
	add := func(name, text string) { all = append(all, bad(name, text)) }
	by := func(name string) lure {
		return b.lures[slices.IndexFunc(b.lures, func(l lure) bool { return l.name == name })]
	}
	evil := lure{method: "GET", path: "/authorize"}
	elsewhere := by("authorize").encoded(func(n, v string) string {
		if n == "redirect_uri" {
			v = "https://evil.example/callback"
		}
		return plainly(n, v)
	})
	for _, line := range []string{
		"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1", "Forwarded: host=evil.example;for=127.0.0.1",
		"X-Original-URL: /jwks.json", "X-Rewrite-URL: /jwks.json", "X-Original-Host: evil.example", "X-Host: evil.example", "X-Real-IP: 127.0.0.1", "Client-IP: 127.0.0.1", "X-Client-Cert: x",
		"X-Remote-User: sub-alice", "Remote-User: sub-alice", "X-Authenticated-User: sub-alice", "X-Accel-Redirect: /jwks.json", "Origin: https://app.example", "Origin: null", "Referer: https://app.example/",
	} {
		evil.header = append(slices.Clone(by("authorize").header), line)
		add("an unregistered redirect URI, with "+line, evil.text(elsewhere))
		for path, method := range map[string]string{"/userinfo": "GET", "/token": "POST", "/revoke": "POST", "/introspect": "POST"} {
			l := lure{method: method, path: path, header: []string{line}}
			add("nobody at "+path+", with "+line, l.text(map[bool]string{true: "grant_type=client_credentials&client_id=service&token=x"}[method == "POST"]))
		}
		if path, ok := strings.CutPrefix(line, "Origin: "); ok && path != "" {
			continue
		}
		absolute := lure{method: "GET", path: "https://evil.example/userinfo", header: []string{line}}
		add("nobody at another host, with "+line, absolute.text(""))
	}
	for _, name := range []string{"consent", "account"} {
		for _, lines := range [][]string{
			{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Sec-Fetch-Site: bogus"}, {"Origin: https://evil.example"}, {"Origin: null"}, {"Origin: http://idp.example"},
			{"Origin: https://idp.example.evil.example"}, {"Origin: https://idp.example:444"}, {"Origin: https://IDP.example@evil.example"}, {"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"},
		} {
			l := by(name)
			l.header = append(slices.Clone(l.header[:1]), lines...)
			add(fmt.Sprintf("%s, from %q", name, lines), l.text(l.encoded(plainly)))
		}
	}
	cookies := by("consent").header[0]
	for _, odd := range []string{"x", "%00", "%ff", "..", "%2e%2e", "%2e%2e%2faccount", "'", "%25", "AAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("a", 7000), "%e2%80%ae", "a%0d%0ab", "*", "-1", "null", ";", "%5c"} {
		add("the flow "+odd, lure{method: "GET", path: "/flow/" + odd, header: []string{cookies}}.text(""))
		add("the asset "+odd, lure{method: "GET", path: "/assets/" + odd}.text(""))
		add("codes of the flow "+odd, lure{method: "GET", path: "/flow/" + odd + "/codes.txt", header: []string{cookies}}.text(""))
		post := by("consent")
		post.path = "/flow/" + odd
		add("consent to the flow "+odd, post.text(post.encoded(plainly)))
	}
	big := by("userinfo")
	big.header = append(slices.Clone(big.header), "X-Big: "+strings.Repeat("a", 2<<20))
	add("a header of 2 MiB", big.text(""))
	add("HTTP/2 without being asked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	add("a tunnel", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n")
	add("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	add("no request", "\x00\x00\x00\x00\r\n\r\n")
	return all
}
