package kafkaserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
)

// Files in the server's folder.
const (
	configFile  = "server.properties"
	loggingFile = "log4j2.properties"
	logFile     = "kafka.log"
	dataFolder  = "data"
)

// properties is one node that is broker and controller. What differs from Kafka's defaults makes it
// small (one replica, few internal partitions), quick to notice that it was killed (sessions, which
// tests shorten further for their groups), and patient with old data: without retention, since
// records of 1948 would be deleted while a test reads them. OAUTHBEARER takes tokens that nobody signed (RFC 7515,
// alg none), as Kafka does where no issuer is named.
var properties = template.Must(template.New(configFile).Parse(`process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={{.Controller}}
listeners=PLAINTEXT://{{.Plain}},SSL://{{.TLS}},SASL_SSL://{{.SASL}},CONTROLLER://{{.Controller}}
advertised.listeners=PLAINTEXT://{{.Plain}},SSL://{{.TLS}},SASL_SSL://{{.SASL}},CONTROLLER://{{.Controller}}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
log.dirs={{.Data}}
auto.create.topics.enable=false
message.max.bytes=16777216
log.retention.ms=-1
log.cleaner.backoff.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
ssl.keystore.type=PEM
ssl.keystore.location={{.Keystore}}
ssl.truststore.type=PEM
ssl.truststore.location={{.CA}}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{{.User}}="{{.Password}}";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
`))

const logging = `status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %-5p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
`

// configure chooses ports and a password and writes the configuration and the certificates.
func (s *Server) configure() error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	s.Endpoints = Endpoints{
		Plain: ports[0], TLS: ports[1], SASL: ports[2],
		User: user, Password: rand.Text(),
		CA: s.path("ca.pem"), Cert: s.path("client.pem"), Key: s.path("client-key.pem"),
	}
	keystore := s.path("server.pem")
	if err := writeCertificates(s.Endpoints, keystore); err != nil {
		return fmt.Errorf("certificates of the broker: %w", err)
	}
	var text bytes.Buffer
	err = properties.Execute(&text, struct {
		Endpoints
		Controller, Data, Keystore string
	}{s.Endpoints, ports[3], s.path(dataFolder), keystore})
	if err != nil {
		return fmt.Errorf("configuration of the broker: %w", err)
	}
	for name, content := range map[string][]byte{configFile: text.Bytes(), loggingFile: []byte(logging)} {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return fmt.Errorf("configuration of the broker: %w", err)
		}
	}
	return nil
}

// format makes an empty cluster that knows the SCRAM user. It is done once: formatting again after a
// crash would lose the data that the crash left.
func (s *Server) format(ctx context.Context) error {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // its text must not begin with '-', which would be read as an option
	credentials := "[name=" + s.User + ",password=" + s.Password + "]"
	cmd := s.javaContext(ctx, "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(s.opts.Libs, "*"),
		"kafka.tools.StorageTool", "format", "--standalone",
		"-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", s.path(configFile),
		"--add-scram", "SCRAM-SHA-256="+credentials, "--add-scram", "SCRAM-SHA-512="+credentials)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format kafka's storage: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) java(args ...string) *exec.Cmd {
	return s.javaContext(context.Background(), args...)
}

func (s *Server) javaContext(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.opts.Java, args...)
	cmd.Dir = s.dir
	return cmd
}

// Data is the folder that holds the broker's logs, metadata included.
func (s *Server) Data() string { return s.path(dataFolder) }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) logPath() string         { return s.path(logFile) }
