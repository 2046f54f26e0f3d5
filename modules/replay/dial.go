package replay

import (
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout bounds connecting to a webhook.
const dialTimeout = 5 * time.Second

// dialer connects to addresses of the internet alone, unless private ones are allowed. It looks at the address that is
// really dialled, so that a name which leads elsewhere the next time it is asked for opens nothing.
func dialer(allowPrivate bool) *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if !allowPrivate {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !isPublic(to.Addr()) {
				return &privateError{}
			}
			return nil
		}
	}
	return d
}

// privateError is an address that must not be dialled.
type privateError struct{}

func (*privateError) Error() string { return "the address is not one of the internet" }

// isPublic reports whether an address is one of the internet (RFC 6890 and its registries, which
// have 3fff::/20 by RFC 9637 and 5f00::/16 by RFC 9602).
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, special := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(special).Contains(a) {
			return false
		}
	}
	return true
}
