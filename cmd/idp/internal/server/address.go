package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of proxies that are believed. The zero Proxies
// believe nobody.
type Proxies []netip.Prefix

// ClientAddress returns the address of the browser or client that r comes
// from. It is the peer of the connection; if that is a listed proxy, it is
// whom the proxy names, and so on along the chain, up to the first that is not
// listed: what stands before that could have been written by anyone.
//
// X-Forwarded-For and Forwarded (RFC 7239) are both read. A proxy writes one of
// them and passes the other on as the client sent it, so if both are there and
// disagree, neither is believed.
func (p Proxies) ClientAddress(r *http.Request) string {
	peer := peerOf(r)
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return peer
	}
	addr = addr.Unmap().WithZone("")
	if !p.trust(addr) {
		return addr.String()
	}
	plain, hasPlain := p.walk(addr, forwardedFor(r.Header.Values("X-Forwarded-For")))
	standard, hasStandard := p.walk(addr, forwarded(r.Header.Values("Forwarded")))
	switch {
	case hasPlain && hasStandard && plain != standard:
		return addr.String()
	case hasPlain:
		return plain.String()
	case hasStandard:
		return standard.String()
	}
	return addr.String()
}

// Trusts reports whether r comes from a listed proxy.
func (p Proxies) Trusts(r *http.Request) bool {
	addr, err := netip.ParseAddr(peerOf(r))
	return err == nil && p.trust(addr.Unmap().WithZone(""))
}

func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// walk goes back along hops, of which the last was added by peer, to the first
// address that is not a listed proxy's. What is no address ends the way: the
// last proxy before it is as far as anything is known.
func (p Proxies) walk(peer netip.Addr, hops []string) (netip.Addr, bool) {
	at := peer
	for _, hop := range slices.Backward(hops) {
		a, ok := address(hop)
		if !ok {
			break
		}
		at = a
		if !p.trust(a) {
			break
		}
	}
	return at, len(hops) > 0
}

// address reads an address as proxies write it: with or without a port, IPv6
// in brackets or not.
func address(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func forwardedFor(lines []string) []string {
	var hops []string
	for _, l := range lines {
		hops = append(hops, strings.Split(l, ",")...)
	}
	return hops
}

// forwarded returns the for parameter of each element of the Forwarded header,
// "" of one that has none (RFC 7239 section 4).
func forwarded(lines []string) []string {
	var hops []string
	for _, l := range lines {
		for _, element := range split(l, ',') {
			hop := ""
			for _, pair := range split(element, ';') {
				name, value, _ := strings.Cut(pair, "=")
				if strings.EqualFold(strings.TrimSpace(name), "for") {
					hop = unquote(strings.TrimSpace(value))
				}
			}
			hops = append(hops, hop)
		}
	}
	return hops
}

// split cuts s at sep, but not inside quotes.
func split(s string, sep byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts, start = append(parts, s[start:i]), i+1
		}
	}
	return append(parts, s[start:])
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
