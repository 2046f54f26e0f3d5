package charts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/cmd/app"
	"audittrail/platform/config"
)

func TestExamplesRenderAsBefore(t *testing.T) {
	for name, values := range examples(t) {
		t.Run(name, func(t *testing.T) {
			golden(t, filepath.Join(chart, "testdata", name+".golden.yaml"), render(t, "--values", values))
		})
	}
}

func TestLint(t *testing.T) {
	args := map[string][]string{"defaults": {}}
	for name, values := range examples(t) {
		args[name] = []string{"--values", values}
	}
	for name, extra := range args {
		out, problems, err := run(t, append([]string{"lint", "--strict", chart}, extra...)...)
		require.NoError(t, err, "%s: %s%s", name, out, problems)
	}
}

// Each workload starts with what the chart gives it: the program itself says so.
func TestTheProgramTakesTheConfiguration(t *testing.T) {
	for name, values := range examples(t) {
		all := objects(t, render(t, "--values", values))
		dir := t.TempDir()
		for file, content := range at(find(t, all, "ConfigMap", "audittrail"), "data").(map[string]any) {
			content := strings.ReplaceAll(content.(string), "/etc/audittrail/tls/", dir+"/")
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
		}
		writeCertificate(t, dir)
		workloads := 0
		for _, o := range all {
			if o.kind() != "Deployment" && o.kind() != "StatefulSet" {
				continue
			}
			workloads++
			cfg := load(t, o, dir)
			require.NoError(t, app.Check(cfg), "%s: %s", name, o.name())
			require.Equal(t, rolesOf(t, o), strings.Join(cfg.Roles, ","))
			grace := at(o, "spec", "template", "spec", "terminationGracePeriodSeconds").(int)
			require.Greater(t, float64(grace), (cfg.Shutdown.Delay + cfg.Shutdown.Grace + 3*time.Second).Seconds(), "OPERATIONS: longer by more than 3 s")
		}
		require.NotZero(t, workloads)
	}
}

func rolesOf(t *testing.T, o object) string {
	t.Helper()
	args := at(o, "spec", "template", "spec", "containers", 0, "args").([]any)
	require.Equal(t, "serve", args[0])
	return strings.TrimPrefix(args[1].(string), "--roles=")
}

// load gives the program what its pod would have: the file, the variables, and files with secrets.
func load(t *testing.T, o object, dir string) app.Config {
	t.Helper()
	secrets := map[string]string{
		"postgres.url":        "postgres://app@db.example.com/audit?sslmode=verify-full",
		"kafka.sasl.password": "secret",
		"ledger.signing_key":  signingKey(t),

		"postgres.replica_urls": "postgres://app@replica-1.example.com/audit?sslmode=verify-full,postgres://app@replica-2.example.com/audit?sslmode=verify-full",
		"redis.url":             "rediss://audittrail:secret@redis.example.com:6379",

		"encryption.kek_url":  "base64key://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"encryption.keys_url": "postgres://app@keys.example.com/keys?sslmode=verify-full",
	}
	env := []string{"AUDITTRAIL_ROLES=" + rolesOf(t, o)}
	for _, v := range at(o, "spec", "template", "spec", "containers", 0, "env").([]any) {
		variable, path := at(v, "name").(string), at(v, "value").(string)
		key, isSecret := strings.CutPrefix(path, "/etc/audittrail/secrets/")
		if file, isConfig := strings.CutPrefix(path, "/etc/audittrail/config/"); isConfig {
			env = append(env, variable+"="+filepath.Join(dir, file))
		}
		if !isSecret {
			continue
		}
		require.Contains(t, secrets, key)
		secret := filepath.Join(dir, key)
		require.NoError(t, os.WriteFile(secret, []byte(secrets[key]+"\n"), 0o600))
		env = append(env, variable+"="+secret)
	}
	cfg, err := app.Load(config.Sources{Environ: env})
	require.NoError(t, err)
	return cfg
}

// The chart runs every role that the program has, and gives the signing key to notaries alone.
func TestRolesAreTheProgramsRoles(t *testing.T) {
	schema, err := app.NewSchema()
	require.NoError(t, err)
	i := slices.IndexFunc(schema.Keys(), func(k config.Key) bool { return k.Name == "roles" })
	want := strings.Split(schema.Keys()[i].Default, ",")
	slices.Sort(want)

	all := objects(t, render(t))
	var split []string
	for _, o := range all {
		if o.kind() == "Deployment" || o.kind() == "StatefulSet" {
			role := rolesOf(t, o)
			split = append(split, role)
			require.Equal(t, role == "notary", strings.Contains(fmt.Sprint(at(o, "spec", "template", "spec")), "signing"), role)
		}
	}
	slices.Sort(split)
	require.Equal(t, want, split, "give roles in values.yaml a line for it")
	single := find(t, objects(t, render(t, "--set", "topology=single")), "StatefulSet", "audittrail")
	require.Equal(t, strings.Join(want, ","), rolesOf(t, single))
}

// Keys reach those who seal and open values, and the database of keys also who erases, who has a journal on a volume of its
// own. Without them there is nothing of it.
func TestSealing(t *testing.T) {
	for name, args := range map[string][]string{
		"key service": {"--values", examples(t)["full"]},
		"secret": {"--values", examples(t)["full"], "--set", "config.encryption.kek_url=null",
			"--set", "secrets.encryption\\.kek_url.name=kek,secrets.encryption\\.kek_url.key=url,secrets.encryption\\.kek_url.remote.key=kek"},
	} {
		t.Run(name, func(t *testing.T) {
			all := objects(t, render(t, args...))
			dir := t.TempDir()
			for file, content := range at(find(t, all, "ConfigMap", "audittrail"), "data").(map[string]any) {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content.(string)), 0o600))
			}
			for _, o := range all {
				if o.kind() != "Deployment" && o.kind() != "StatefulSet" {
					continue
				}
				cfg, role := load(t, o, dir), rolesOf(t, o)
				seals := slices.Contains([]string{"ingest", "api", "replay"}, role)
				require.Equal(t, seals, cfg.Encryption.KEKURL != "", role)
				require.Equal(t, seals, len(cfg.Encryption.Rules) == 1, role)
				require.Equal(t, seals || role == "maintain", cfg.Encryption.KeysURL != "", role)
				spec := at(o, "spec", "template", "spec")
				require.Equal(t, seals && name == "secret", strings.Contains(fmt.Sprint(spec), "encryption.kek_url"), role)
				require.Equal(t, role == "maintain" || role == "notary", o.kind() == "StatefulSet", role)
				if role == "maintain" {
					require.Contains(t, fmt.Sprint(at(spec, "containers", 0, "volumeMounts")), filepath.Dir(cfg.Encryption.Journal))
					require.NotNil(t, at(o, "spec", "volumeClaimTemplates", 0))
				}
			}
			job := at(find(t, all, "Job", "audittrail-migrate"), "spec", "template", "spec")
			require.Contains(t, fmt.Sprint(at(job, "initContainers", 0, "env")), "AUDITTRAIL_ENCRYPTION_KEYS_URL_FILE")
			require.Contains(t, fmt.Sprint(at(job, "containers", 0, "env")), "AUDITTRAIL_POSTGRES_URL_FILE value:/etc/audittrail/secrets/encryption.keys_url")
			require.Contains(t, fmt.Sprint(at(job, "volumes", 0)), "audittrail-keys-owner")
		})
	}

	egress := func(kek string) string {
		all := objects(t, render(t, "--set", "networkPolicy.enabled=true", "--set", "config.encryption.kek_url="+kek))
		return fmt.Sprint(at(find(t, all, "NetworkPolicy", "audittrail"), "spec", "egress"))
	}
	require.Contains(t, egress("awskms:///key"), "169.254.170.23/32")
	require.Contains(t, egress("hashivault://key"), "8200")
	require.NotRegexp(t, "169.254|8200", egress(""))

	plain := render(t)
	require.NotContains(t, plain, "erasures.jsonl")
	find(t, objects(t, plain), "Deployment", "audittrail-maintain")
}

// Replicas and Redis are for the pods with the API alone, which take all that one Secret names, and may reach Redis.
func TestReplicasAndRedis(t *testing.T) {
	all := objects(t, render(t, "--values", examples(t)["full"]))
	dir := t.TempDir()
	for file, content := range at(find(t, all, "ConfigMap", "audittrail"), "data").(map[string]any) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content.(string)), 0o600))
	}
	for _, o := range all {
		if o.kind() != "Deployment" && o.kind() != "StatefulSet" {
			continue
		}
		cfg, isAPI := load(t, o, dir), rolesOf(t, o) == "api"
		require.Equal(t, isAPI, len(cfg.Postgres.ReplicaURLs) == 2, o.name())
		require.Equal(t, isAPI, cfg.Redis.URL != "", o.name())
	}
	ports := func(all []object) string {
		return fmt.Sprint(at(find(t, all, "NetworkPolicy", "audittrail"), "spec", "egress"))
	}
	require.Contains(t, ports(all), "6379")
	require.NotContains(t, ports(objects(t, render(t, "--set", "networkPolicy.enabled=true"))), "6379", "who has no Redis opens no port for it")
}

func TestPodsAreRestricted(t *testing.T) {
	for _, values := range examples(t) {
		for _, o := range objects(t, render(t, "--values", values)) {
			pod := at(o, "spec", "template", "spec")
			if pod == nil || at(pod, "containers") == nil {
				continue
			}
			require.Equal(t, true, at(pod, "securityContext", "runAsNonRoot"), o.name())
			require.Equal(t, "RuntimeDefault", at(pod, "securityContext", "seccompProfile", "type"), o.name())
			require.Equal(t, false, at(pod, "automountServiceAccountToken"), o.name())
			require.Equal(t, false, at(pod, "enableServiceLinks"), o.name())
			initial, _ := at(pod, "initContainers").([]any)
			for _, c := range append(initial, at(pod, "containers").([]any)...) {
				require.Equal(t, []any{"ALL"}, at(c, "securityContext", "capabilities", "drop"), o.name())
				require.Equal(t, true, at(c, "securityContext", "readOnlyRootFilesystem"), o.name())
				require.Equal(t, false, at(c, "securityContext", "allowPrivilegeEscalation"), o.name())
				require.NotNil(t, at(c, "resources", "limits", "memory"), o.name())
			}
		}
	}
}

// A Service must find only pods that listen: the readiness of the role that it fronts decides, and no other's.
func TestProbesAskTheRoleInFront(t *testing.T) {
	for topology, want := range map[string]string{"single": "/readyz/api", "split": "/readyz/api"} {
		all := objects(t, render(t, "--set", "topology="+topology))
		component := at(find(t, all, "Service", "audittrail"), "spec", "selector", "app.kubernetes.io/component")
		for _, o := range all {
			if o.kind() != "Deployment" && o.kind() != "StatefulSet" {
				continue
			}
			probe := at(o, "spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet", "path")
			if at(o, "spec", "template", "metadata", "labels", "app.kubernetes.io/component") == component {
				require.Equal(t, want, probe)
				continue
			}
			require.Equal(t, "/readyz/"+rolesOf(t, o), probe)
		}
	}
}

func TestEverythingCanBeSwitchedOn(t *testing.T) {
	all := objects(t, render(t, "--values", examples(t)["full"]))
	require.Subset(t, kinds(all), []string{
		"BackendTLSPolicy", "Certificate", "ConfigMap", "Deployment", "ExternalSecret", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "Job",
		"NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "ScaledObject", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet",
	})
	require.Nil(t, at(find(t, all, "Deployment", "audittrail-api"), "spec", "replicas"), "what scales it sets them")
	require.NotEmpty(t, at(find(t, all, "PrometheusRule", "audittrail"), "spec", "groups"), "the alarms of deploy/observability")
}

// What can't work is refused with a sentence, before anything is installed.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"unknown value":           {"replica=2", "additional properties 'replica' not allowed"},
		"unknown value of a role": {"roles.api.replica=2", "additional properties 'replica' not allowed"},
		"unknown topology":        {"topology=both", "value must be one of"},
		"secret in the config":    {"config.ledger.signing_key=x", "config.ledger.signing_key is a secret"},
		"what the chart sets":     {"config.http.addr=:80", "config.http.addr is set by the chart"},
		"notary without memory":   {"roles.notary.stateful=false", "must outlive its pods"},
		"journal of one's own":    {"config.encryption.journal=/x", "config.encryption.journal is set by the chart"},
		"rules without a key":     {"config.encryption.rules[0].eventType=x", "which key seals?"},
		"key in the config":       {"config.encryption.kek_url=base64key://x", "holds the key itself"},
		"login in the config":     {"config.encryption.keys_url=postgres://x", "config.encryption.keys_url is a secret"},
		"keys nobody migrates":    {"secrets.encryption\\.keys_url.name=x,secrets.encryption\\.keys_url.key=x", "migration.keysSecret"},
		"half a secret":           {"migration.keysSecret.name=x", "anyOf"},
		"two that scale":          {"roles.ingest.keda.enabled=true,roles.ingest.autoscaling.enabled=true", "not both"},
		"keda without brokers":    {"roles.ingest.keda.enabled=true", "keda scales on lag"},
		"secret without origin":   {"externalSecrets.enabled=true,externalSecrets.storeRef.name=x", "has no remote"},
		"store without name":      {"externalSecrets.enabled=true,secrets.postgres\\.url.remote.key=x", "which store"},
		"ingress without host":    {"ingress.enabled=true", "ingress.host"},
		"route without gateway":   {"gateway.enabled=true", "which Gateway"},
		"certificate of nobody":   {"tls.certManager.enabled=true", "who issues"},
		"mount of nothing":        {"mounts[0].name=x,mounts[0].path=/x", "oneOf"},
		"tag for a digest":        {"image.digest=v1", "does not match pattern"},
	} {
		_, problems, err := run(t, "template", "audittrail", chart, "--set", c.set)
		require.Error(t, err, name)
		require.Contains(t, problems, c.want, name)
	}
}
