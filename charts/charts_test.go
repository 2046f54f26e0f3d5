// Package charts holds the Helm chart, and tests that render it with the real helm. `-update` writes anew what is
// generated from it: the golden renderings, the chart's README and the plain manifests in deploy/k8s.
//
// helm is looked for in TEST_HELM, in PATH and in the cache of .ci/run.
package charts_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the generated files anew")

const chart = "audittrail"

// helm returns the path of helm. In CI the tests must not be skipped.
func helm(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TEST_HELM"); path != "" {
		return path
	}
	if path, err := exec.LookPath("helm"); err == nil {
		return path
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if found, _ := filepath.Glob(filepath.Join(cache, "audittrail", "bin", "helm-v3.*")); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no helm: set TEST_HELM")
	}
	t.Skip("there is no helm: set TEST_HELM, or have it in PATH")
	return ""
}

// run returns what helm prints, and what it says on standard error.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, problems bytes.Buffer
	command := exec.CommandContext(t.Context(), helm(t), args...)
	command.Stdout, command.Stderr = &out, &problems
	err = command.Run()
	return out.String(), problems.String(), err
}

func render(t *testing.T, args ...string) string {
	t.Helper()
	out, problems, err := run(t, append([]string{"template", "audittrail", chart, "--namespace", "audittrail", "--kube-version", "1.36.0"}, args...)...)
	require.NoError(t, err, problems)
	return out
}

// examples are the values that the chart is shown with, by name.
func examples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*-values.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out := map[string]string{}
	for _, f := range files {
		out[strings.TrimSuffix(filepath.Base(f), "-values.yaml")] = f
	}
	return out
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path, content string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), content, "go test ./charts -update writes %s anew", path)
}

// object is what was rendered, with ways to look into it.
type object map[string]any

func objects(t *testing.T, rendered string) []object {
	t.Helper()
	var out []object
	documents := yaml.NewDecoder(strings.NewReader(rendered))
	for {
		var o map[string]any
		if err := documents.Decode(&o); err != nil {
			require.ErrorContains(t, err, "EOF")
			return out
		}
		if len(o) > 0 {
			out = append(out, o)
		}
	}
}

// at follows members and indices; nil where there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			if o, ok := value.(object); ok {
				value = o[s]
				continue
			}
			m, _ := value.(map[string]any)
			value = m[s]
		case int:
			list, _ := value.([]any)
			if s >= len(list) {
				return nil
			}
			value = list[s]
		}
	}
	return value
}

func (o object) kind() string { return at(o, "kind").(string) }

func (o object) name() string { return at(o, "metadata", "name").(string) }

// find returns the one object of that kind and name.
func find(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(all, func(o object) bool { return o.kind() == kind && o.name() == name })
	require.GreaterOrEqual(t, i, 0, "%s/%s was not rendered", kind, name)
	return all[i]
}

func kinds(all []object) []string {
	var out []string
	for _, o := range all {
		out = append(out, o.kind())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
