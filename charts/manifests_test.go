package charts_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// manifests is where the chart's plain form is kept, for those who do without Helm.
const manifests = "../deploy/k8s"

// The plain manifests are the chart's rendering of values.yaml beside them, without what only Helm needs.
func TestManifestsAreTheChartsRendering(t *testing.T) {
	files := map[string][]string{}
	for _, document := range strings.Split(render(t, "--values", filepath.Join(manifests, "values.yaml")), "\n---\n") {
		content, kind := plain(t, document)
		if content == "" {
			continue
		}
		file := "audittrail.yaml"
		if kind == "Job" {
			file = "migrate.yaml"
		}
		files[file] = append(files[file], content)
	}
	require.Len(t, files, 2)
	for file, documents := range files {
		slices.Sort(documents)
		golden(t, filepath.Join(manifests, file), "# Rendered from charts/audittrail with values.yaml; do not edit.\n---\n"+strings.Join(documents, "---\n"))
	}
}

// plain takes Helm's labels and annotations out of a document; "" if it is empty.
func plain(t *testing.T, document string) (content, kind string) {
	t.Helper()
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(document), &root))
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return "", ""
	}
	withoutHelm(&root)
	root.HeadComment = ""
	root.Content[0].HeadComment = ""
	if len(root.Content[0].Content) > 0 {
		root.Content[0].Content[0].HeadComment = ""
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	require.NoError(t, encoder.Encode(&root))
	require.NotContains(t, strings.ToLower(out.String()), "helm")
	var o map[string]any
	require.NoError(t, yaml.Unmarshal(out.Bytes(), &o))
	return out.String(), object(o).kind()
}

func withoutHelm(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		kept := n.Content[:0]
		for i := 0; i < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			if strings.HasPrefix(key.Value, "helm.sh/") || key.Value == "app.kubernetes.io/managed-by" {
				continue
			}
			withoutHelm(val)
			if key.Value == "annotations" && len(val.Content) == 0 {
				continue
			}
			kept = append(kept, key, val)
		}
		n.Content = kept
		return
	}
	for _, c := range n.Content {
		withoutHelm(c)
	}
}
