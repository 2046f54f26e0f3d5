package kafkatest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"audittrail/platform/kafkatest"
)

func TestEachListenerServes(t *testing.T) {
	kafka := kafkatest.Shared(t)
	if kafka.CAFile == "" {
		t.Skip("TEST_KAFKA_BROKERS names a cluster whose other listeners are not known")
	}
	authority := x509.NewCertPool()
	text, err := os.ReadFile(kafka.CAFile)
	if err != nil || !authority.AppendCertsFromPEM(text) {
		t.Fatalf("authority: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(kafka.CertFile, kafka.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	bare := &tls.Config{RootCAs: authority}
	user := scram.Auth{User: kafka.User, Pass: kafka.Password}
	for name, c := range map[string]struct {
		opts    []kgo.Opt
		refused bool
	}{
		"plain":                    {opts: []kgo.Opt{kgo.SeedBrokers(kafka.Brokers...)}},
		"client certificate":       {opts: []kgo.Opt{kgo.SeedBrokers(kafka.TLSBrokers...), kgo.DialTLSConfig(&tls.Config{RootCAs: authority, Certificates: []tls.Certificate{pair}})}},
		"SCRAM-SHA-256":            {opts: []kgo.Opt{kgo.SeedBrokers(kafka.SASLBrokers...), kgo.DialTLSConfig(bare), kgo.SASL(user.AsSha256Mechanism())}},
		"SCRAM-SHA-512":            {opts: []kgo.Opt{kgo.SeedBrokers(kafka.SASLBrokers...), kgo.DialTLSConfig(bare), kgo.SASL(user.AsSha512Mechanism())}},
		"PLAIN":                    {opts: []kgo.Opt{kgo.SeedBrokers(kafka.SASLBrokers...), kgo.DialTLSConfig(bare), kgo.SASL(plain.Auth{User: kafka.User, Pass: kafka.Password}.AsMechanism())}},
		"wrong password":           {opts: []kgo.Opt{kgo.SeedBrokers(kafka.SASLBrokers...), kgo.DialTLSConfig(bare), kgo.SASL(scram.Auth{User: kafka.User, Pass: "wrong"}.AsSha512Mechanism())}, refused: true},
		"no client certificate":    {opts: []kgo.Opt{kgo.SeedBrokers(kafka.TLSBrokers...), kgo.DialTLSConfig(bare)}, refused: true},
		"authority is not trusted": {opts: []kgo.Opt{kgo.SeedBrokers(kafka.SASLBrokers...), kgo.DialTLSConfig(&tls.Config{RootCAs: x509.NewCertPool()}), kgo.SASL(user.AsSha512Mechanism())}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kgo.NewClient(append(c.opts, kgo.RequestRetries(0))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := client.Ping(ctx); (err != nil) != c.refused {
				t.Fatalf("ping: %v, want refused: %v", err, c.refused)
			}
		})
	}
}

func TestDataSurviveKillAndStop(t *testing.T) {
	kafka := kafkatest.Start(t)
	topic := kafka.Topic("orders", 3)
	client := kafka.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends := []struct {
		how string
		end func()
	}{{"kill", kafka.Kill}, {"stop", kafka.Stop}}
	for n, end := range ends {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "before %s", end.how)}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		end.end()
		kafka.Start()
		values := map[string]bool{}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		reader := kafka.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for len(values) < n+1 {
			fetches := reader.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("after %s there are %v", end.how, values)
			}
			fetches.EachRecord(func(r *kgo.Record) { values[string(r.Value)] = true })
		}
		cancel()
		if !values[string(record.Value)] {
			t.Fatalf("after %s there are %v", end.how, values)
		}
	}
}
