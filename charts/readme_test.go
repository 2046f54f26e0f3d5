package charts_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The chart's README is README.md.tmpl with a table of all values, whose meanings are the comments in values.yaml.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart, "README.md.tmpl"))
	require.NoError(t, err)
	table := "| value | default | meaning |\n|---|---|---|\n"
	for _, v := range values(t) {
		table += fmt.Sprintf("| `%s` | %s | %s |\n", v.path, v.defaults, strings.ReplaceAll(v.comment, "|", `\|`))
	}
	require.Contains(t, string(text), "{{ values }}")
	golden(t, filepath.Join(chart, "README.md"), strings.Replace(string(text), "{{ values }}\n", table, 1))
}

// Each value has a comment: its own, or that of what it is part of.
func TestEachValueIsExplained(t *testing.T) {
	explained := values(t)
	content, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, yaml.Unmarshal(content, &all))
	var check func(path string, v any)
	check = func(path string, v any) {
		for _, e := range explained {
			if e.path == path && e.defaults != "" {
				return
			}
		}
		below, isMap := v.(map[string]any)
		require.True(t, isMap && len(below) > 0, "%s: say in values.yaml what it is", path)
		for name, v := range below {
			check(path+"."+name, v)
		}
	}
	for name, v := range all {
		check(name, v)
	}
}

type value struct{ path, defaults, comment string }

// values are all commented values, in the file's order; a mapping without comments in it is one value.
func values(t *testing.T) []value {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	require.NoError(t, err)
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal(content, &root))
	return walk(t, root.Content[0], "")
}

func walk(t *testing.T, mapping *yaml.Node, prefix string) []value {
	t.Helper()
	var out []value
	for i := 0; i < len(mapping.Content); i += 2 {
		key, val := mapping.Content[i], mapping.Content[i+1]
		path := prefix + key.Value
		comment := strings.Join(strings.Fields(strings.ReplaceAll(key.HeadComment, "#", "")), " ")
		var below []value
		if val.Kind == yaml.MappingNode && val.Style&yaml.FlowStyle == 0 {
			below = walk(t, val, path+".")
		}
		switch {
		case len(below) > 0 && comment != "":
			out = append(out, value{path, "", comment})
		case len(below) == 0 && comment != "":
			out = append(out, value{path, inline(t, val), comment})
		}
		out = append(out, below...)
	}
	return out
}

func inline(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var v any
	require.NoError(t, n.Decode(&v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	if s, isString := v.(string); isString && s != "" {
		return "`" + s + "`"
	}
	return "`" + string(text) + "`"
}

// Ten values of one's own are enough: those that the README begins with.
func TestTenValuesOfTheReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart, "README.md"))
	require.NoError(t, err)
	own := regexp.MustCompile("(?s)```yaml\n +# values.yaml\n(.*?) *```").FindSubmatch(text)
	require.NotNil(t, own)
	unindented := regexp.MustCompile("(?m)^ {3}").ReplaceAllString(string(own[1]), "")
	golden(t, filepath.Join(chart, "ci", "ten-values.yaml"), "# The values that the README begins with.\n"+unindented)
}
