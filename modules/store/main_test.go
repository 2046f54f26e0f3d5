package store_test

import (
	"flag"
	"testing"

	"audittrail/platform/longtest"
)

// TestMain runs more tests at once than there are processors: much of their time is PostgreSQL's, or waiting
// for a lock or a timeout.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	longtest.FewerChecks(25)
	m.Run()
}
