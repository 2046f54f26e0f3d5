package app

import (
	"flag"
	"testing"
)

// TestMain runs more tests at once than there are processors: much of their time is waiting, for an erasure above all.
// Those that look for goroutines that were left run alone.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	theVault = newVault()
	defer theVault.close()
	m.Run()
}
