package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

type role struct {
	Name        string   `key:"name"`
	Permissions []string `key:"permissions"`
	Scope       struct {
		EventTypes []string `key:"eventTypes"`
	} `key:"scope"`
	Rate  int    `key:"rate"`
	Token string `key:"token" secret:"true"`
}

type httpOptions struct {
	Addr string `key:"addr" default:":8080" help:"address | port"`
	TLS  struct {
		Cert string `key:"cert"`
	} `key:"tls"`
	Limit int `key:"rate_limit" default:"5"`
}

func (o httpOptions) Validate() error {
	var errs []error
	if o.Limit < 1 || o.Limit > 100 {
		errs = append(errs, Invalid("rate_limit", "must be from %d to %d", 1, 100))
	}
	if o.TLS.Cert == "" {
		errs = append(errs, Invalid("tls.cert", "is required"))
	}
	return errors.Join(errs...)
}

type sample struct {
	Roles    []string    `key:"roles" default:"a,b"`
	HTTP     httpOptions `key:"http"`
	Postgres struct {
		URL      string `key:"url" secret:"url"`
		MaxConns int    `key:"max_conns" default:"8"`
	} `key:"postgres"`
	Kafka struct {
		Password string        `key:"password" secret:"true"`
		Brokers  []string      `key:"brokers"`
		Linger   time.Duration `key:"linger" default:"250ms"`
		Create   bool          `key:"create" default:"true"`
		Ratio    float64       `key:"ratio" default:"0.5"`
		Bytes    int64         `key:"bytes"`
	} `key:"kafka"`
	Access struct {
		Roles []role `key:"roles"`
	} `key:"access"`
	hook func() //nolint:unused // fields without a key are left alone
}

// load loads the sample from arguments, variables and the text of a file.
func load(t *testing.T, args, environ []string, file string) (sample, *Loaded, error) {
	t.Helper()
	s, err := NewSchema("audittrail", sample{})
	require.NoError(t, err)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.AddFlags(fs)
	if file != "" {
		path := filepath.Join(t.TempDir(), "c.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		environ = append(environ, "AUDITTRAIL_CONFIG="+path)
	}
	require.NoError(t, fs.Parse(args))
	var c sample
	l, err := s.Load(&c, Sources{Flags: fs, Environ: environ})
	return c, l, err
}

func TestPrecedence(t *testing.T) {
	const file = "http: {addr: from-file, rate_limit: 7}\nkafka.linger: 1s\n"
	env := []string{"AUDITTRAIL_HTTP_ADDR=from-env", "AUDITTRAIL_HTTP_RATE_LIMIT=8"}
	c, l, err := load(t, []string{"--http.addr", "from-flag"}, env, file)
	require.NoError(t, err)
	require.Equal(t, "from-flag", c.HTTP.Addr)
	require.Equal(t, 8, c.HTTP.Limit)
	require.Equal(t, time.Second, c.Kafka.Linger)
	require.Equal(t, 8, c.Postgres.MaxConns)
	require.Equal(t, "flag", l.Origin("http.addr").String())
	require.Equal(t, "env AUDITTRAIL_HTTP_RATE_LIMIT", l.Origin("http.rate_limit").String())
	require.Regexp(t, `^file:.*c\.yaml$`, l.Origin("kafka.linger").String())
	require.Equal(t, "default", l.Origin("postgres.max_conns").String())
	require.True(t, l.IsSet("kafka.linger"))
	require.False(t, l.IsSet("kafka.create"))
}

func TestEveryTypeFromEveryPlace(t *testing.T) {
	want := func(c sample) {
		t.Helper()
		require.Equal(t, []string{"x:1", "y:2"}, c.Kafka.Brokers)
		require.Equal(t, 2*time.Minute, c.Kafka.Linger)
		require.False(t, c.Kafka.Create)
		require.InDelta(t, 1.25, c.Kafka.Ratio, 0)
		require.Equal(t, int64(1)<<40, c.Kafka.Bytes)
		require.Len(t, c.Access.Roles, 2)
		require.Equal(t, "Reader", c.Access.Roles[0].Name)
		require.Equal(t, []string{"Order*"}, c.Access.Roles[0].Scope.EventTypes)
		require.Equal(t, 9, c.Access.Roles[1].Rate)
	}
	const list = `[{"name":"Reader","permissions":["events:read"],"scope":{"eventTypes":["Order*"]}},{"name":"b","rate":9}]`
	c, _, err := load(t, []string{"--kafka.brokers=x:1", "--kafka.brokers=y:2", "--kafka.linger=2m",
		"--kafka.create=false", "--kafka.ratio=1.25", "--kafka.bytes=1099511627776", "--access.roles=" + list}, nil, "")
	require.NoError(t, err)
	want(c)
	c, _, err = load(t, nil, []string{"AUDITTRAIL_KAFKA_BROKERS=x:1, y:2", "AUDITTRAIL_KAFKA_LINGER=2m",
		"AUDITTRAIL_KAFKA_CREATE=false", "AUDITTRAIL_KAFKA_RATIO=1.25",
		"AUDITTRAIL_KAFKA_BYTES=1099511627776", "AUDITTRAIL_ACCESS_ROLES=" + list}, "")
	require.NoError(t, err)
	want(c)
	c, _, err = load(t, nil, nil, `
kafka: {brokers: ["x:1", "y:2"], linger: 2m, create: false, ratio: 1.25, bytes: 1099511627776}
access:
  roles:
    - name: Reader
      permissions: [events:read]
      scope: {eventTypes: ["Order*"]}
    - {name: b, rate: 9}
postgres:
`)
	require.NoError(t, err)
	want(c)
}

func TestStringsMayHoldCommas(t *testing.T) {
	c, _, err := load(t, []string{`--kafka.brokers=["^a{1,2}$","b"]`}, nil, "")
	require.NoError(t, err)
	require.Equal(t, []string{"^a{1,2}$", "b"}, c.Kafka.Brokers)
	c, _, err = load(t, nil, nil, "kafka.brokers: ['^a{1,2}$', '[x]']")
	require.NoError(t, err)
	require.Equal(t, []string{"^a{1,2}$", "[x]"}, c.Kafka.Brokers)
	c, _, err = load(t, nil, nil, "roles: []")
	require.NoError(t, err)
	require.Empty(t, c.Roles)
}

func TestProblemsAreNamed(t *testing.T) {
	tests := []struct {
		name      string
		args, env []string
		file      string
		want      string
	}{
		{"unknown file key", nil, nil, "http: {adr: x}", "line 1: key http.adr is not known, did you mean http.addr?"},
		{"unknown section", nil, nil, "htttp:\n  addr: x", "key htttp is not known"},
		{"unknown variable", nil, []string{"AUDITTRAIL_HTTP_ADR=x"}, "", "environment variable AUDITTRAIL_HTTP_ADR is not known, did you mean AUDITTRAIL_HTTP_ADDR?"},
		{"file for what is no secret", nil, []string{"AUDITTRAIL_HTTP_ADDR_FILE=x"}, "", "AUDITTRAIL_HTTP_ADDR_FILE is not known"},
		{"section's name", nil, nil, "htttp:\n  addr: x", "did you mean http?"},
		{"no key", nil, nil, "http: &h {'': *h}", "line 1: a key of http must be a name"},
		{"list as key", nil, nil, "? [a]\n: b", "a key of the document must be a name"},
		{"key twice", nil, nil, "http.addr: a\nhttp: {addr: b}", "line 2: key http.addr is given twice, first in line 1"},
		{"section as scalar", nil, nil, "http: 5", "http must be a section with keys"},
		{"document as list", nil, nil, "- a", "the document must be a section"},
		{"two documents", nil, nil, "a: b\n---\nc: d", "more than one document"},
		{"not YAML", nil, nil, "a: [", "is not YAML"},
		{"list for a string", nil, nil, "http.addr: [a]", "http.addr must be one value, not a list or a section"},
		{"section for a list", nil, nil, "kafka.brokers: {a: b}", "kafka.brokers must be a list"},
		{"number, flag", []string{"--http.rate_limit=many"}, nil, "", `http.rate_limit must be a whole number, not "many" (from flag --http.rate_limit)`},
		{"number, variable", nil, []string{"AUDITTRAIL_HTTP_RATE_LIMIT=1.5"}, "", "(from environment variable AUDITTRAIL_HTTP_RATE_LIMIT)"},
		{"duration, file", nil, nil, "\nkafka:\n  linger: 10", "c.yaml, line 3)"},
		{"no number", []string{"--kafka.ratio=NaN"}, nil, "", `kafka.ratio must be a number, not "NaN"`},
		{"infinite", nil, nil, "kafka.ratio: +Inf", "kafka.ratio must be a number"},
		{"overflow", []string{"--kafka.bytes=9223372036854775808"}, nil, "", "kafka.bytes must be a whole number"},
		{"list is no JSON", []string{"--access.roles=[{]"}, nil, "", "access.roles must be a JSON list of objects"},
		{"list with a repeated member", []string{`--access.roles=[{"name":"a","name":"b"}]`}, nil, "", "without repeated members"},
		{"unknown member", []string{`--access.roles=[{"nam":"a"}]`}, nil, "", "access.roles[0].nam is not known, did you mean name?"},
		{"nested unknown member", nil, nil, "access.roles: [{name: a}, {scope: {eventType: [x]}}]", "access.roles[1].scope.eventType is not known, did you mean eventTypes?"},
		{"member of the wrong type", []string{`--access.roles=[{"rate":"x"}]`}, nil, "", "access.roles[0].rate must be a whole number"},
		{"no list", []string{`--access.roles={"rate":1}`}, nil, "", "access.roles must be a list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.args, tt.env, tt.file)
			require.ErrorContains(t, err, tt.want)
			var problems *Error
			require.ErrorAs(t, err, &problems)
		})
	}
}

func TestNothingNearIsSuggested(t *testing.T) {
	for _, name := range []string{"AUDITTRAIL_TOPSECRET", "AUDITTRAIL_REPORT"} { // the prefix alone is like every other name
		_, _, err := load(t, nil, []string{name + "=x"}, "")
		require.ErrorContains(t, err, name+" is not known")
		require.NotContains(t, err.Error(), "did you mean")
	}
}

func TestKubernetesVariablesPass(t *testing.T) {
	for _, name := range []string{"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP",
		"PORT_8080_TCP_ADDR", "API_SERVICE_HOST", "API_PORT_9090_TCP_PROTO"} {
		_, _, err := load(t, nil, []string{"AUDITTRAIL_" + name + "=tcp://10.0.0.1:80", "OTEL_SERVICE_NAME=x"}, "")
		require.NoError(t, err, name)
	}
	_, _, err := load(t, nil, []string{"AUDITTRAIL_REPORT=1"}, "")
	require.Error(t, err)
}

func TestSecretFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("hush\n"), 0o600))
	c, l, err := load(t, nil, []string{"AUDITTRAIL_KAFKA_PASSWORD_FILE=" + path, "AUDITTRAIL_KAFKA_PASSWORD="}, "")
	require.NoError(t, err)
	require.Equal(t, "hush", c.Kafka.Password)
	require.Equal(t, "env AUDITTRAIL_KAFKA_PASSWORD_FILE", l.Origin("kafka.password").String())

	_, _, err = load(t, nil, []string{"AUDITTRAIL_KAFKA_PASSWORD_FILE=" + path, "AUDITTRAIL_KAFKA_PASSWORD=x"}, "")
	require.ErrorContains(t, err, "kafka.password is set by both")
	_, _, err = load(t, nil, []string{"AUDITTRAIL_KAFKA_PASSWORD_FILE=/nowhere/x"}, "")
	require.ErrorContains(t, err, "kafka.password: AUDITTRAIL_KAFKA_PASSWORD_FILE")
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, _, err = load(t, nil, []string{"AUDITTRAIL_KAFKA_PASSWORD_FILE=" + path}, "")
	require.ErrorContains(t, err, "is empty")
}

func TestCheckNamesKeysAndOrigins(t *testing.T) {
	_, l, err := load(t, nil, []string{"AUDITTRAIL_HTTP_RATE_LIMIT=1000"}, "")
	require.NoError(t, err)
	require.EqualError(t, l.Check(), `configuration: http.rate_limit must be from 1 to 100 (from environment variable AUDITTRAIL_HTTP_RATE_LIMIT)
configuration: http.tls.cert is required`)
	_, l, err = load(t, []string{"--http.tls.cert=x"}, nil, "")
	require.NoError(t, err)
	require.NoError(t, l.Check())
}

func TestNoSecretIsShown(t *testing.T) {
	const secret = "s3cr3t"
	args := []string{"--kafka.password=" + secret, "--kafka.brokers=http://u:" + secret + "@h,b",
		`--access.roles=[{"name":"n","token":"` + secret + `"}]`}
	urls := map[string]string{
		"postgres://u:" + secret + "@db:5432/x?sslmode=verify-full&sslpassword=" + secret: "postgres://u:********@db:5432/x?sslmode=verify-full&sslpassword=********",
		"postgres://u:@" + secret + "/x@db/y":                                             "postgres://u:********@db/y",
		"host=db\tpassword=" + secret:                                                     Masked,
		"postgres://db/x":                                                                 "postgres://db/x",
		"%zz" + secret:                                                                    Masked,
	}
	for in, want := range urls {
		_, l, err := load(t, append(args, "--postgres.url="+in), nil, "")
		require.NoError(t, err)
		for _, v := range l.Values() {
			require.NotContains(t, v.Text(), secret, v.Key)
			if v.Key == "postgres.url" {
				require.Equal(t, want, v.Text())
			}
			if v.Key == "access.roles" {
				require.Contains(t, v.Text(), `"token":"********"`)
			}
		}
	}
}

func TestSecretOfAWrongTypeIsNotQuoted(t *testing.T) {
	type odd struct {
		Pin int `key:"pin" secret:"true"`
	}
	s, err := NewSchema("x", odd{})
	require.NoError(t, err)
	_, err = s.Load(&odd{}, Sources{Environ: []string{"X_PIN=hunter2"}})
	require.EqualError(t, err, "configuration: pin must be a whole number (from environment variable X_PIN)")
}

func TestMistakesInTheSchema(t *testing.T) {
	type twice struct {
		A struct {
			B string `key:"b"`
		} `key:"a"`
		C struct {
			B string `key:"b"`
		} `key:"a"`
	}
	type variable struct {
		A struct {
			B string `key:"b"`
		} `key:"a"`
		C string `key:"a_b"`
	}
	type fileVariable struct {
		A string `key:"a" secret:"true"`
		B string `key:"a_file"`
	}
	type section struct {
		A string `key:"a"`
		B struct {
			C string `key:"c"`
		} `key:"a"`
	}
	type badDefault struct {
		A int `key:"a" default:"x"`
	}
	type badType struct {
		A map[string]string `key:"a"`
	}
	type hidden struct {
		a string `key:"a"` //nolint:unused // the mistake
	}
	for _, of := range []any{twice{}, variable{}, fileVariable{}, section{}, badDefault{}, badType{}, hidden{}} {
		_, err := NewSchema("x", of)
		require.Error(t, err, "%T", of)
	}
}

func TestDurationText(t *testing.T) {
	for in, want := range map[time.Duration]string{24 * time.Hour: "24h", 90 * time.Second: "1m30s", time.Minute: "1m",
		250 * time.Millisecond: "250ms", 0: "0s", 10 * time.Minute: "10m", 100 * time.Minute: "1h40m", 10 * time.Second: "10s"} {
		require.Equal(t, want, durationText(in))
	}
}

func TestReference(t *testing.T) {
	s, err := NewSchema("audittrail", sample{})
	require.NoError(t, err)
	got := s.Reference()
	require.Contains(t, got, "### `http`")
	require.Contains(t, got, "| `http.addr` | string | `:8080` | address \\| port |")
	require.Contains(t, got, "| `kafka.password` | string, secret |  |  |")
	require.Equal(t, len(s.Keys()), strings.Count(got, "\n| `"))
}

func TestAnEmptyFileIsFine(t *testing.T) {
	for _, text := range []string{" ", "# nothing\n", "---\n", "{}", "http:\n"} {
		c, _, err := load(t, nil, nil, text)
		require.NoError(t, err, text)
		require.Equal(t, ":8080", c.HTTP.Addr)
	}
}

// FuzzFile looks for files that make the reader panic or never end.
func FuzzFile(f *testing.F) {
	f.Add("http: {addr: x}\naccess.roles: [{name: a, scope: {eventTypes: [b]}}]")
	f.Add("kafka: &k {brokers: [a], sasl: *k}")
	f.Add("access: {roles: &r [{name: *r}]}")
	s, err := NewSchema("audittrail", sample{})
	require.NoError(f, err)
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		var c sample
		if l, err := s.Load(&c, Sources{Environ: []string{"AUDITTRAIL_CONFIG=" + path}}); err == nil {
			l.Values()
		}
	})
}

func TestRequire(t *testing.T) {
	s, err := NewSchema("audittrail", sample{})
	require.NoError(t, err)
	var c sample
	require.EqualError(t, s.Require(&c, "postgres.url", "kafka.brokers|kafka.password"),
		`configuration: postgres.url must be given (flag --postgres.url or environment variable AUDITTRAIL_POSTGRES_URL)
configuration: kafka.brokers must be given, or kafka.password (flag --kafka.brokers or environment variable AUDITTRAIL_KAFKA_BROKERS)`)
	c.Postgres.URL, c.Kafka.Password = "x", "y"
	require.NoError(t, s.Require(&c, "postgres.url", "kafka.brokers|kafka.password"))
	require.ErrorContains(t, s.Require(&c, "no.such"), "does not exist")
}

func TestMaskPasswords(t *testing.T) {
	for in, want := range map[string]string{
		"dial postgres://u:p@h/d failed":                     "dial postgres://u:********@h/d failed",
		"host=h password=p sslmode=disable":                  "host=h password=******** sslmode=disable",
		"host=h password='p q' x":                            "host=h password=******** x",
		"redis://:p@h":                                       "redis://:********@h",
		"http://h:8080/a and b@c":                            "http://h:8080/a and b@c",
		"https://h/a?sslpassword=p&sslmode=off":              "https://h/a?sslpassword=********&sslmode=off",
		"https://h/jwks?v=1&token=t/+%41&x=2#f":              "https://h/jwks?v=1&token=********&x=2#f",
		`Get "https://h/k?api_key=k": refused`:               `Get "https://h/k?api_key=********": refused`,
		"https://h/?key=k&SECRET=s&Signature=g":              "https://h/?key=********&SECRET=********&Signature=********",
		"https://h/?sig=g&X-Amz-Credential=c":                "https://h/?sig=********&X-Amz-Credential=********",
		"token=t and https://h/a?page=2&view=b":              "token=t and https://h/a?page=2&view=b",
		"open PRIVATE+KEY+h/s+0a1b2c3d+AY/k+=: no such file": "open PRIVATE+KEY+********: no such file",
		`"# a\nPRIVATE+KEY+h/日+0a1b2c3d+AYk=\nb" is no name`: `"# a\nPRIVATE+KEY+********" is no name`,
		"(PRIVATE+KEY+h+0a), PRIVATE+KEY+h+0a1b2c3d+AYk=.":   "(PRIVATE+KEY+********), PRIVATE+KEY+********.",
		"a key begins with PRIVATE+KEY+":                     "a key begins with PRIVATE+KEY+",
	} {
		require.Equal(t, want, MaskPasswords(in))
	}
}
