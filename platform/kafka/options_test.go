package kafka

import (
	"strings"
	"testing"
	"time"
)

func valid() Options {
	return Options{
		Brokers: []string{"127.0.0.1:9092"}, Topics: []string{"orders", "^shop\\."}, Group: "audittrail",
		SessionTimeout: 6 * time.Second, MetadataMaxAge: 30 * time.Second,
	}
}

func TestValidateTakesGoodOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"plain":           func(*Options) {},
		"several brokers": func(o *Options) { o.Brokers = []string{"a:1", "[::1]:65535"} },
		"no topics":       func(o *Options) { o.Topics = nil }, // a role that reads none
		"TLS":             func(o *Options) { o.TLS = TLSOptions{Enabled: true, CA: "ca", Cert: "cert", Key: "key"} },
		"SCRAM without TLS": func(o *Options) {
			o.SASL = SASLOptions{Mechanism: "SCRAM-SHA-256", Username: "me", Password: "hunter2"}
		},
		"PLAIN within TLS": func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "PLAIN", Username: "me", Password: "hunter2"}
		},
		"OAUTHBEARER": func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "OAUTHBEARER", TokenURL: "https://issuer/token", ClientID: "me", ClientSecret: "hunter2"}
		},
		"AWS_MSK_IAM": func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "AWS_MSK_IAM", Username: "AKID", Password: "hunter2"}
		},
		"a static member":    func(o *Options) { o.InstanceID = "ingest-0" },
		"the longest topic":  func(o *Options) { o.Topics = []string{strings.Repeat("x", 249)} },
		"a one-letter topic": func(o *Options) { o.Topics = []string{"x"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := valid()
			change(&o)
			if err := o.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	for _, c := range []struct {
		name, key string
		change    func(*Options)
	}{
		{"no broker", "brokers", func(o *Options) { o.Brokers = nil }},
		{"a broker without port", "brokers", func(o *Options) { o.Brokers = []string{"kafka"} }},
		{"a broker with credentials", "brokers", func(o *Options) { o.Brokers = []string{"u:hunter2@h:1"} }},
		{"a broker without host", "brokers", func(o *Options) { o.Brokers = []string{":9092"} }},
		{"a broker with port 0", "brokers", func(o *Options) { o.Brokers = []string{"kafka:0"} }},
		{"a topic with a space", "topics", func(o *Options) { o.Topics = []string{"my orders"} }},
		{"a topic that is too long", "topics", func(o *Options) { o.Topics = []string{strings.Repeat("x", 250)} }},
		{"a topic of dots", "topics", func(o *Options) { o.Topics = []string{".."} }},
		{"a pattern that is none", "topics", func(o *Options) { o.Topics = []string{"^("} }},
		{"no group", "group", func(o *Options) { o.Group = "" }},
		{"a session too short", "session_timeout", func(o *Options) { o.SessionTimeout = time.Millisecond }},
		{"metadata too old", "metadata_max_age", func(o *Options) { o.MetadataMaxAge = 0 }},
		{"a file but no TLS", "tls.ca", func(o *Options) { o.TLS.CA = "ca.pem" }},
		{"a certificate without key", "tls.key", func(o *Options) { o.TLS = TLSOptions{Enabled: true, Cert: "c"} }},
		{"a key without certificate", "tls.cert", func(o *Options) { o.TLS = TLSOptions{Enabled: true, Key: "k"} }},
		{"an unknown mechanism", "sasl.mechanism", func(o *Options) { o.SASL = SASLOptions{Mechanism: "GSSAPI", Username: "me", Password: "hunter2"} }},
		{"PLAIN in the clear", "sasl.mechanism", func(o *Options) { o.SASL = SASLOptions{Mechanism: "PLAIN", Username: "me", Password: "hunter2"} }},
		{"OAUTHBEARER in the clear", "sasl.mechanism", func(o *Options) {
			o.SASL = SASLOptions{Mechanism: "OAUTHBEARER", TokenURL: "https://issuer", ClientID: "me", ClientSecret: "hunter2"}
		}},
		{"a token URL in the clear", "sasl.token_url", func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "OAUTHBEARER", TokenURL: "http://issuer", ClientID: "me", ClientSecret: "hunter2"}
		}},
		{"no client secret", "sasl.client_secret", func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "OAUTHBEARER", TokenURL: "https://issuer", ClientID: "me"}
		}},
		{"a password for OAUTHBEARER", "sasl.password", func(o *Options) {
			o.TLS.Enabled = true
			o.SASL = SASLOptions{Mechanism: "OAUTHBEARER", TokenURL: "https://issuer", ClientID: "me", ClientSecret: "hunter2", Password: "hunter2"}
		}},
		{"AWS_MSK_IAM in the clear", "sasl.mechanism", func(o *Options) {
			o.SASL = SASLOptions{Mechanism: "AWS_MSK_IAM", Username: "AKID", Password: "hunter2"}
		}},
		{"credentials without mechanism", "sasl.mechanism", func(o *Options) { o.SASL = SASLOptions{Mechanism: "", Username: "me", Password: "hunter2"} }},
		{"no user", "sasl.username", func(o *Options) { o.SASL = SASLOptions{Mechanism: "SCRAM-SHA-512", Username: "", Password: "hunter2"} }},
		{"no password", "sasl.password", func(o *Options) { o.SASL = SASLOptions{Mechanism: "SCRAM-SHA-512", Username: "me", Password: ""} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := valid()
			c.change(&o)
			err := o.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), c.key+" ") && !strings.HasPrefix(err.Error(), c.key+": ") {
				t.Fatalf("error %v, want one on %s", err, c.key)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error tells a secret: %v", err)
			}
		})
	}
}
