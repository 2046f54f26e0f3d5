package replay

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first and the last address of each special range is refused, and the addresses beside it are of the internet.
func TestAddressesOfTheInternet(t *testing.T) {
	for _, refused := range []string{
		"0.0.0.1", "10.0.0.1", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8", "192.168.1.1", "198.19.255.255",
		"203.0.113.9", "224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
		"2002:a00:1::1", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::1", "fe80::1", "fec0::1", "ff02::1",
	} {
		require.False(t, isPublic(netip.MustParseAddr(refused)), refused)
	}
	for _, public := range []string{
		"1.1.1.1", "100.63.255.255", "100.128.0.0", "192.0.1.1", "198.20.0.0", "::ffff:1.1.1.1", "2001:200::1", "2606:4700::1", "3ffe:ffff::1", "3fff:1000::", "5eff::1", "5f01::",
	} {
		require.True(t, isPublic(netip.MustParseAddr(public)), public)
	}
}
