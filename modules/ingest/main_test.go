package ingest

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs more tests at once than there are processors, since they wait for a group to settle most of
// the time. No test may leave a goroutine behind; the PostgreSQL and the Kafka of all tests go on.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("audittrail/platform/devstack.startServer.func1"),
		goleak.IgnoreAnyFunction("audittrail/platform/kafkaserver.(*Server).Start.func1"))
}
