package httpserver

import (
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the networks of http.trusted_proxies.
type proxies []netip.Prefix

// parseProxies reads networks that Options.Validate has accepted.
func parseProxies(networks []string) (proxies, error) {
	var p proxies
	for _, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		p = append(p, network.Masked())
	}
	return p, nil
}

func (p proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// client returns the address that a request came from; the zero Addr where the connection has none.
//
// Each proxy adds the address of its own peer at the right, so the entries are read from there, and only as long
// as the one who wrote them is trusted: what stands further left, the client may have written. An entry that is no
// address ends the reading. X-Forwarded-For is read where there is one, and Forwarded (RFC 7239) elsewhere.
func (p proxies) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := plain(peer.Addr())
	if !p.trust(address) {
		return address
	}
	hops := forwarded(r.Header)
	for i := len(hops) - 1; i >= 0 && p.trust(address); i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break
		}
		address = hop
	}
	return address
}

// plain is the address without a zone, and an IPv4 address as such: one address has one spelling.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// forwarded returns the entries that proxies have added, the client's first.
func forwarded(h http.Header) []string {
	if lines := h.Values("X-Forwarded-For"); len(lines) > 0 {
		return strings.Split(strings.Join(lines, ","), ",")
	}
	var hops []string
	for _, element := range strings.Split(strings.Join(h.Values("Forwarded"), ","), ",") {
		hops = append(hops, forParameter(element))
	}
	return hops
}

// forParameter returns the value of `for` in an element of Forwarded, without its quotes; "" where there is none.
// A comma or semicolon in quotes is not understood: no address has one.
func forParameter(element string) string {
	for _, pair := range strings.Split(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseHop reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return plain(withPort.Addr()), true
	}
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = text[1 : len(text)-1]
	}
	a, err := netip.ParseAddr(text)
	return plain(a), err == nil
}
