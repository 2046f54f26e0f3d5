package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafkatest"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, o Options, reg prometheus.Registerer) *kgo.Client {
	t.Helper()
	c, err := NewClient(o, "test", slog.New(slog.DiscardHandler), reg, kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func at(brokers []string) Options {
	o := valid()
	o.Brokers = brokers
	return o
}

func TestTopicsAreAskedForAnew(t *testing.T) {
	ctx, fake := testContext(t), cluster(t)
	c := client(t, at(fake.ListenAddrs()), nil)
	admin := kadm.NewClient(c)
	if _, err := admin.CreateTopic(ctx, 4, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	before, err := Topics(ctx, c, []string{"orders", "none"})
	if err != nil {
		t.Fatal(err)
	}
	if before["orders"].Partitions != 4 || before["orders"].ID == [16]byte{} {
		t.Errorf("orders: %+v", before["orders"])
	}
	if !errors.Is(before["none"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("none: %+v", before["none"])
	}
	if _, err := admin.DeleteTopic(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	after, err := Topics(ctx, c, []string{"orders"})
	if err != nil {
		t.Fatal(err)
	}
	if after["orders"].ID == before["orders"].ID {
		t.Error("a topic that was made again has the id of the old one")
	}
	if all, err := Topics(ctx, c, nil); err != nil || len(all) != 0 {
		t.Errorf("asked for nothing: %v, %v", all, err)
	}
}

func TestLogBounds(t *testing.T) {
	ctx, fake := testContext(t), cluster(t, kfake.SeedTopics(3, "orders", "stock"))
	c := client(t, at(fake.ListenAddrs()), nil)
	filledPartition := int32(-1)
	for range 10 { // one key, one partition
		r, err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Key: []byte("k"), Value: []byte("v")}).First()
		if err != nil {
			t.Fatal(err)
		}
		filledPartition = r.Partition
	}
	if err := fake.DeleteRecords("orders", filledPartition, 4); err != nil {
		t.Fatal(err)
	}
	var of []TopicPartition
	for partition := range int32(3) {
		of = append(of, TopicPartition{"orders", partition}, TopicPartition{"stock", partition})
	}
	bounds, err := LogBounds(ctx, c, of)
	if err != nil {
		t.Fatal(err)
	}
	for _, tp := range of {
		want := Bounds{}
		if tp == (TopicPartition{"orders", filledPartition}) {
			want = Bounds{Start: 4, End: 10}
		}
		if bounds[tp] != want {
			t.Errorf("%v: %+v, want %+v", tp, bounds[tp], want)
		}
	}
	if _, err := LogBounds(ctx, c, []TopicPartition{{"orders", 7}}); err == nil {
		t.Error("a partition that is not there has bounds")
	}
}

func TestMetricsMayBeRegisteredAgain(t *testing.T) {
	fake, reg := cluster(t), prometheus.NewRegistry()
	for range 2 {
		c, err := NewClient(at(fake.ListenAddrs()), "test", slog.New(slog.DiscardHandler), reg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(testContext(t)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

func TestTLSAndSASL(t *testing.T) {
	files := certificates(t)
	pair, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(t, files.cert))
	for _, mechanism := range []string{plainMechanism, scram256Mechanism, scram512Mechanism} {
		t.Run(mechanism, func(t *testing.T) {
			fake := cluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "me", "secret"), kfake.TLS(&tls.Config{
				Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			}))
			o := at(fake.ListenAddrs())
			o.TLS = TLSOptions{Enabled: true, CA: files.cert, Cert: files.cert, Key: files.key}
			o.SASL = SASLOptions{Mechanism: mechanism, Username: "me", Password: "secret"}
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			if err := client(t, o, nil).Ping(testContext(t)); err != nil {
				t.Errorf("right credentials: %v", err)
			}
			wrong := o
			wrong.SASL.Password = "guess"
			if err := client(t, wrong, nil).Ping(testContext(t)); err == nil {
				t.Error("a wrong password is taken")
			}
			bare := o
			bare.TLS.Cert, bare.TLS.Key = "", ""
			if err := client(t, bare, nil).Ping(testContext(t)); err == nil {
				t.Error("no client certificate is taken")
			}
			distrustful := o
			distrustful.TLS.CA = ""
			if err := client(t, distrustful, nil).Ping(testContext(t)); err == nil {
				t.Error("an unknown authority is taken")
			}
		})
	}
}

// What a real broker makes of it.
func TestTLSAndSASLWithKafka(t *testing.T) {
	k := kafkatest.Shared(t)
	if k.User == "" {
		t.Skip("a broker of the test's own is needed")
	}
	for _, mechanism := range []string{plainMechanism, scram256Mechanism, scram512Mechanism} {
		o := at(k.SASLBrokers)
		o.TLS = TLSOptions{Enabled: true, CA: k.CAFile}
		o.SASL = SASLOptions{Mechanism: mechanism, Username: k.User, Password: k.Password}
		if err := client(t, o, nil).Ping(testContext(t)); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	o := at(k.TLSBrokers)
	o.TLS = TLSOptions{Enabled: true, CA: k.CAFile, Cert: k.CertFile, Key: k.KeyFile}
	if err := client(t, o, nil).Ping(testContext(t)); err != nil {
		t.Errorf("client certificate: %v", err)
	}
}

func TestFilesThatCantBeUsedAreNamed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		tls  TLSOptions
	}{
		{"kafka.tls.ca: ", TLSOptions{Enabled: true, CA: none}},
		{"kafka.tls.ca: ", TLSOptions{Enabled: true, CA: empty}},
		{"kafka.tls.cert", TLSOptions{Enabled: true, Cert: none, Key: none}},
	} {
		o := valid()
		o.TLS = c.tls
		if _, err := NewClient(o, "test", slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v, want one that says %q", err, c.says)
		}
	}
}

func TestSASLWithoutTLSIsWarnedOf(t *testing.T) {
	o := valid()
	o.SASL = SASLOptions{Mechanism: scram512Mechanism, Username: "me", Password: "secret"}
	var out bytes.Buffer
	c, err := NewClient(o, "test", slog.New(slog.NewJSONHandler(&out, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !strings.Contains(out.String(), `"level":"WARN"`) || !strings.Contains(out.String(), "kafka.tls") || strings.Contains(out.String(), "secret") {
		t.Errorf("log: %s", out.String())
	}
}

type certificateFiles struct{ cert, key string }

// certificates makes a certificate for 127.0.0.1 that signs itself.
func certificates(t *testing.T) certificateFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := certificateFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{files.cert: {Type: "CERTIFICATE", Bytes: der}, files.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
