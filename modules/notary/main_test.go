package notary

import (
	"flag"
	"testing"
)

// TestMain runs more tests at once than there are processors: they wait for seconds to pass, and for
// sessions to end, and work little.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	m.Run()
}
