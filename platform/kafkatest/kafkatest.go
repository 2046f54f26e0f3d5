// Package kafkatest gives tests a real Apache Kafka. It is imported by tests only.
//
// Start runs a broker of the test's own, which it may kill; Shared gives one that all tests of the
// process use, each with topics and groups of its own. Both run out of the folder of jars that
// TEST_KAFKA_LIBS names (.ci/kafka/libs prints it); Shared uses the cluster that TEST_KAFKA_BROKERS
// names instead, where that is set. Where neither is set the test is skipped, but fails where CI is
// set: there nothing may be skipped.
package kafkatest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"audittrail/platform/kafkaserver"
)

// Environment variables that this package reads.
const (
	LibsVariable    = "TEST_KAFKA_LIBS"    // folder of Kafka's jars
	BrokersVariable = "TEST_KAFKA_BROKERS" // host:port of a running cluster, several with commas
)

// patience is for starting a JVM on a machine that has much else to do.
const patience = 90 * time.Second

// Kafka is a real broker. Brokers always holds an address; the fields and methods after it only for
// a broker that this process runs, not for one that TEST_KAFKA_BROKERS names.
type Kafka struct {
	Brokers []string // plain listener: neither TLS nor credentials

	TLSBrokers  []string // listener that wants a client certificate
	SASLBrokers []string // TLS listener with SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN
	User        string   // for SASLBrokers
	Password    string   // for SASLBrokers
	CAFile      string   // authority of the broker's certificate
	CertFile    string   // client certificate for TLSBrokers
	KeyFile     string   // its key

	t      testing.TB
	server *kafkaserver.Server
}

// Start runs a broker for t alone, empty, and ends it with t. It takes 4 to 10 seconds.
func Start(t testing.TB) *Kafka {
	t.Helper()
	libs := os.Getenv(LibsVariable)
	if libs == "" {
		missing(t, LibsVariable+" is not set: this test starts an Apache Kafka of its own (TEST_KAFKA_LIBS=$(.ci/kafka/libs))")
	}
	dir, err := os.MkdirTemp("", "audittrail-kafka-")
	if err != nil {
		t.Fatalf("folder for kafka: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := launch(libs, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() }) // nobody needs its data any more
	return wrap(t, server)
}

// shared is the broker of all tests of this process: a JVM for each would take longer than the tests.
// It has no end of its own: the server's watchdog ends it when the process is gone.
var shared struct {
	sync.Mutex
	server *kafkaserver.Server
	err    error
}

// Shared gives the broker that all tests of this process use. Other tests see its topics: use
// Kafka.Topic, which makes names unique.
func Shared(t testing.TB) *Kafka {
	t.Helper()
	if brokers := os.Getenv(BrokersVariable); brokers != "" {
		return At(t, strings.Split(brokers, ",")...)
	}
	libs := os.Getenv(LibsVariable)
	if libs == "" {
		missing(t, LibsVariable+" and "+BrokersVariable+" are not set: this test needs an Apache Kafka (TEST_KAFKA_LIBS=$(.ci/kafka/libs))")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		var dir string
		if dir, shared.err = os.MkdirTemp("", "audittrail-kafka-"); shared.err == nil {
			shared.server, shared.err = launch(libs, dir)
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return wrap(t, shared.server)
}

// At gives a broker that somebody else runs, for what Kafka offers beside its own control.
func At(t testing.TB, brokers ...string) *Kafka {
	t.Helper()
	return &Kafka{t: t, Brokers: brokers}
}

func launch(libs, dir string) (*kafkaserver.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := kafkaserver.New(ctx, kafkaserver.Options{Libs: libs, Dir: dir})
	if err != nil {
		return nil, err
	}
	return server, server.Start(ctx)
}

func wrap(t testing.TB, server *kafkaserver.Server) *Kafka {
	t.Helper()
	return &Kafka{
		t: t, server: server,
		Brokers: []string{server.Plain}, TLSBrokers: []string{server.TLS}, SASLBrokers: []string{server.SASL},
		User: server.User, Password: server.Password,
		CAFile: server.CA, CertFile: server.Cert, KeyFile: server.Key,
	}
}

// missing skips t, or fails it where nothing may be skipped.
func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI must run every test: " + reason)
	}
	t.Skip(reason)
}
