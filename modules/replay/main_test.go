package replay_test

import (
	"flag"
	"testing"
)

// TestMain runs more tests at once than there are processors: most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	m.Run()
}
