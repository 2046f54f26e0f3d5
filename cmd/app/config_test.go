package app

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/platform/config"
	"audittrail/platform/logging"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDefaultsAreValid(t *testing.T) {
	_, err := Load(config.Sources{})
	require.NoError(t, err)
}

// mainKeys are the keys that the documentation promises, with their defaults.
func TestMainKeysAreAcceptedWithTheirDefaults(t *testing.T) {
	schema, err := NewSchema()
	require.NoError(t, err)
	defaults := map[string]string{}
	for _, k := range schema.Keys() {
		defaults[k.Name] = k.Default
	}
	for _, line := range strings.Fields(`
		postgres.url= postgres.replica_urls= postgres.max_conns=* kafka.brokers=* kafka.topics= kafka.group=*
		kafka.tls.enabled=false kafka.tls.ca= kafka.tls.cert= kafka.tls.key= kafka.sasl.mechanism=
		kafka.sasl.username= kafka.sasl.password= kafka.schema_registry.url= kafka.schema_registry.username=
		kafka.schema_registry.password= kafka.schema_registry.ca= ingest.start=earliest ingest.dlq_suffix=.dlq
		ingest.dlq_create=true ingest.max_future=24h ingest.max_depth=64 ingest.max_record_bytes=1048576
		ingest.linger=250ms http.addr=:8080 http.tls.cert= http.tls.key= http.tls.client_ca=
		http.tls_terminated=false http.trusted_proxies= http.rate_limit=0 http.rate_limit_address=20
		admin.addr=:9090 admin.tls.cert= admin.tls.key= admin.pprof=false access.mode=strict access.roles=
		access.retention= replay.targets= auth.issuer= auth.audience= auth.jwks_url= auth.jwks_file=
		auth.issuers= auth.roles_claim=roles redis.url= redis.ca= encryption.rules= encryption.kek_url= encryption.keys_url=
		ledger.origin= ledger.signing_key= ledger.public=false notary.interval=1s
		notary.state_file=.audittrail/notary.json roles=* shutdown.grace=* log.level=info log.format=json
		client.url=http://127.0.0.1:8080 client.token=`) {
		key, want, _ := strings.Cut(line, "=")
		got, known := defaults[key]
		require.True(t, known, key)
		if want != "*" {
			require.Equal(t, want, got, key)
		}
	}
}

func TestSecretsMayComeFromFiles(t *testing.T) {
	schema, err := NewSchema()
	require.NoError(t, err)
	secret := map[string]bool{}
	for _, k := range schema.Keys() {
		secret[k.Name] = k.Secret != config.Open
	}
	for _, key := range []string{"postgres.url", "postgres.replica_urls", "kafka.sasl.password", "redis.url",
		"kafka.schema_registry.password", "encryption.kek_url", "encryption.keys_url", "ledger.signing_key", "client.token"} {
		require.True(t, secret[key], key)
	}
}

// load loads a configuration from flags.
func load(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	schema, err := NewSchema()
	require.NoError(t, err)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	schema.AddFlags(fs)
	require.NoError(t, fs.Parse(args))
	return Load(config.Sources{Flags: fs})
}

func TestTheDefaultRolesAreAllRoles(t *testing.T) {
	c, err := load(t)
	require.NoError(t, err)
	require.Equal(t, roleNames(), c.Roles)
}

func TestUnknownRole(t *testing.T) {
	_, err := load(t, "--roles=api,inges")
	require.ErrorContains(t, err, "roles[1] must be one of")
	require.ErrorContains(t, err, "did you mean ingest?")
	require.ErrorContains(t, err, "(from flag --roles)")
}

func TestCheckNamesWhatTheRolesMiss(t *testing.T) {
	c, err := load(t, "--roles=ingest")
	require.NoError(t, err)
	err = Check(c)
	require.ErrorContains(t, err, "postgres.url must be given")
	require.ErrorContains(t, err, "kafka.topics must be given")
	require.NotContains(t, err.Error(), "auth.")

	for _, issuers := range [][]string{
		{"--auth.issuer=i", "--auth.audience=a", "--auth.jwks_file=f"},
		{"--auth.issuer=https://login.example.com", "--auth.audience=a"},
		{`--auth.issuers=[{"issuer":"i","audience":"a","jwks_file":"f"},{"issuer":"https://j","audience":"a","roles_claim":"realm_access.roles"}]`},
	} {
		c, err = load(t, append(issuers, "--roles=api", "--http.addr=127.0.0.1:8080", "--postgres.url=postgres://h/d")...)
		require.NoError(t, err)
		require.NoError(t, Check(c))
	}
	for says, issuers := range map[string][]string{
		"auth.issuer must be given, or auth.issuers":                      nil,
		"auth.audience must be given":                                     {"--auth.issuer=i"},
		"auth.jwks_url must be given":                                     {"--auth.issuer=i", "--auth.audience=a"},
		"auth.issuers[0].audience must be given: a token for another ser": {`--auth.issuers=[{"issuer":"https://j"}]`},
		"from flag --auth.issuers":                                        {`--auth.issuers=[{"issuer":"https://j"}]`},
	} {
		c, err = load(t, append(issuers, "--roles=api", "--http.addr=127.0.0.1:8080", "--postgres.url=postgres://h/d")...)
		require.NoError(t, err)
		require.ErrorContains(t, Check(c), says)
	}

	c, err = load(t, "--postgres.url=postgres://h/d", "--kafka.topics=orders", "--auth.issuer=i", "--auth.audience=a", "--auth.jwks_file=f")
	require.NoError(t, err)
	err = Check(c)
	require.ErrorContains(t, err, "ledger.origin must be given")
	require.ErrorContains(t, err, "ledger.signing_key must be given")

	c, err = load(t, "--roles=")
	require.NoError(t, err)
	require.ErrorContains(t, Check(c), "roles must name at least one of")
}

func TestRolesOfCertificatesMustBeKnown(t *testing.T) {
	for roles, says := range map[string]string{`"viewer","own"`: "", `"viewer","owm"`: `http.tls.client_principals[0].roles[1] must be one of admin, analyst, auditor, operator, own, viewer`} {
		_, err := load(t, "--http.tls.cert=c", "--http.tls.key=k", "--http.tls.client_ca=ca", `--access.roles=[{"name":"own","permissions":["events:read"]}]`,
			`--http.tls.client_principals=[{"subject":"CN=a","principal":"a","roles":[`+roles+`]}]`)
		if says == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, says)
		}
	}
}

func TestRetiredKeysOpenOnly(t *testing.T) {
	lost := signingKey(t, 1)
	c, err := load(t, "--ledger.origin="+origin, "--ledger.retired_keys="+lost.VerifierKey(ledger.Events)+", "+lost.VerifierKey(ledger.Access))
	require.NoError(t, err)
	keys, err := c.Ledger.RetiredKeys()
	require.NoError(t, err)
	require.Equal(t, []string{lost.VerifierKey(ledger.Access)}, keys.Texts(ledger.Access.Origin(origin)))
	c, err = load(t)
	require.NoError(t, err)
	keys, err = c.Ledger.RetiredKeys()
	require.NoError(t, err)
	require.Empty(t, keys.IDs())
}

func TestSigningKeysMustBeOfTheOrigin(t *testing.T) {
	one, other := signingKey(t, 1), signingKey(t, 2)
	c, err := load(t, "--ledger.origin="+origin, "--ledger.signing_key="+one.Secret()+","+other.Secret())
	require.NoError(t, err)
	keys, err := c.Ledger.Keys()
	require.NoError(t, err)
	require.True(t, slices.EqualFunc([]ledger.SigningKey{one, other}, keys, ledger.SigningKey.Equal))
	for _, v := range c.Values() {
		require.NotContains(t, v.Text(), "PRIVATE", v.Key)
	}

	for name, args := range map[string][]string{
		"ledger.origin must be a name":           {"--ledger.origin=/x"},
		"ledger.signing_key key 1 is not a note": {"--ledger.origin=" + origin, "--ledger.signing_key=hunter2"},
		`ledger.signing_key key 1 is named "aud`: {"--ledger.origin=elsewhere", "--ledger.signing_key=" + one.Secret()},
		"ledger.signing_key holds the same key":  {"--ledger.origin=" + origin, "--ledger.signing_key=" + one.Secret() + "," + one.Secret()},
		"ledger.retired_keys key 1 is not a ver": {"--ledger.origin=" + origin, "--ledger.retired_keys=hunter2"},
		"ledger.retired_keys key 1 is a private": {"--ledger.origin=" + origin, "--ledger.retired_keys=" + one.Secret()},
		"ledger.retired_keys 1 of 1 keys are of": {"--ledger.origin=elsewhere", "--ledger.retired_keys=" + one.VerifierKey(ledger.Events)},
		"notary.interval must be from 10ms to":   {"--notary.interval=0s"},
		"notary.state_file must name a file":     {"--notary.state_file="},
	} {
		_, err := load(t, args...)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), one.Secret())
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestAnInvalidDatabaseURLIsNotQuoted(t *testing.T) {
	_, err := load(t, "--postgres.url=postgres://u:hunter2@h:notaport/d")
	require.ErrorContains(t, err, "postgres.url ")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestAClientURLThatIsNoneIsNamed(t *testing.T) {
	_, err := load(t, "--client.url=api.example.com")
	require.ErrorContains(t, err, "client.url must be an http or https URL")
	require.ErrorContains(t, err, "(from flag --client.url)")
}

func TestKeysWithoutEffectAreNamedOnce(t *testing.T) {
	c, err := load(t, "--access.retention=1h", "--http.addr=:1", "--kafka.schema_registry.url=http://h")
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, warnUnused(context.Background(), c, logging.New(&out, logging.Options{Level: "warn", Format: "json"})))
	for _, key := range []string{"access.retention", "kafka.schema_registry.url"} {
		require.Equal(t, 1, strings.Count(out.String(), `"key":"`+key+`"`), key)
	}
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
}

func TestEncryptionIsCheckedAtStart(t *testing.T) {
	const rules = `--encryption.rules=[{"eventType":"Order*","path":"$.payload.x","subject":"$.payload.y","search":true}]`
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no key":          {[]string{rules}, "encryption.kek_url must be given"},
		"not that member": {[]string{`--encryption.rules=[{"eventType":"*","path":"$.metadata.source"}]`, "--encryption.kek_url=base64key://"}, "encryption.rules[0].path must not be"},
		"no journal":      {[]string{rules, "--encryption.kek_url=base64key://", "--roles=api,maintain"}, "encryption.journal must be given"},
		"no key service":  {[]string{rules, "--encryption.kek_url=file://hunter2"}, "encryption.kek_url must begin with"},
	} {
		loaded, err := load(t, append([]string{"--roles=api", "--http.addr=127.0.0.1:8080", "--postgres.url=postgres://h/d", "--auth.issuer=i", "--auth.audience=a", "--auth.jwks_file=f"}, c.args...)...)
		if err == nil {
			err = Check(loaded)
		}
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// TestReference holds docs/CONFIGURATION.md to the keys: go test ./cmd/app -run Reference -update
func TestReference(t *testing.T) {
	schema, err := NewSchema()
	require.NoError(t, err)
	got := referenceHead + schema.Reference()
	path := filepath.Join("..", "..", "docs", "CONFIGURATION.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run with -update")
}

const referenceHead = `# Configuration

Generated from the program; do not edit. Every key can be given in four ways, and the first that is there wins:

1. a flag: ` + "`--http.addr :8443`" + `
2. an environment variable, the key in capitals with dots as underscores: ` + "`AUDITTRAIL_HTTP_ADDR=:8443`" + ` (an empty one counts as not set)
3. a YAML file, named by ` + "`--config`" + ` or ` + "`AUDITTRAIL_CONFIG`" + `: ` + "`http: {addr: \":8443\"}`" + `
4. its default

Unknown keys and unknown ` + "`AUDITTRAIL_*`" + ` variables are errors that suggest the nearest key; names that Kubernetes injects for a Service pass. A secret may come from a file: the variable with ` + "`_FILE`" + ` appended names it (` + "`AUDITTRAIL_POSTGRES_URL_FILE=/run/secrets/postgres`" + `), and one newline at its end is cut. Type ` + "`strings`" + ` is ` + "`a,b,c`" + `, or ` + "`[\"a\",\"b\"]`" + ` where an entry holds a comma; type ` + "`list`" + ` is a list of objects, YAML in the file and JSON elsewhere. ` + "`audittrail config print`" + ` shows what is in effect and where each value came from; ` + "`audittrail config check`" + ` reports everything that is wrong or missing. The standard ` + "`OTEL_*`" + ` variables are OpenTelemetry's: see OPERATIONS, "Tracing, logs and correlation ids".

## Keys
`

// A secret that a file holds is read again where it is used again.
func TestSecretsOfFilesAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("first\n"), 0o600))
	c, err := Load(config.Sources{Environ: []string{
		"AUDITTRAIL_KAFKA_SASL_PASSWORD_FILE=" + file, "AUDITTRAIL_KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "AUDITTRAIL_KAFKA_SASL_USERNAME=app",
	}})
	require.NoError(t, err)
	require.Equal(t, "first", c.Kafka.SASL.Fresh("password", "first"))
	require.NoError(t, os.WriteFile(file, []byte("second\n"), 0o600))
	require.Equal(t, "second", c.Kafka.SASL.Fresh("password", "first"))
	require.NoError(t, os.Remove(file))
	require.Equal(t, "first", c.Kafka.SASL.Fresh("password", "first"), "what it was at the start is as good as any")
	require.Equal(t, "otherwise", c.fresh("postgres.url", "otherwise"))
}
