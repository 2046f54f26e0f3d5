// Package systemtest tests the whole program from outside: real processes of it against a real
// PostgreSQL and a real Kafka, with faults. Each test ends with the same question (balanced): is every
// offset accounted for, is every event there once, are positions dense?
//
// The program is this test binary itself, started again with TEST_AS_PROGRAM set, so that nothing has
// to be built. Tests of one module belong beside it; here are those that no module can answer alone.
//
// Without TEST_KAFKA_LIBS or TEST_KAFKA_BROKERS the broker is a simulated one, in this process. In CI it
// must be a real one.
package systemtest

import (
	"flag"
	"os"
	"testing"

	"audittrail/cmd"
)

// asProgram makes this binary the program: its arguments are the program's.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		cmd.Execute()
		return
	}
	flag.Parse()
	// More at once than there are processors: much of their time is waiting. Tests that measure time run alone.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
