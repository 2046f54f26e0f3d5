package process_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/analytics/process"
)

// drawn is a graph of three cases, one of which has names that are markup to somebody.
func drawn() *process.Graph {
	g := &process.Graph{}
	begin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for _, kinds := range [][]string{{"Placed", "Paid", "Shipped"}, {"Placed", "Paid"}, {`"]; x --> y`, "end"}} {
		var steps []process.Step
		for i, kind := range kinds {
			steps = append(steps, process.Step{Type: kind, At: begin.Add(time.Duration(i) * time.Minute)})
		}
		g.Add(steps)
	}
	return g
}

func TestMermaidDrawsEachEdgeOnce(t *testing.T) {
	var b bytes.Buffer
	drawn().Mermaid(&b)
	require.Equal(t, `flowchart TD
  start((start))
  stop((end))
  n0["Paid<br/>2"]
  n1["Placed<br/>2"]
  n2["#34;#93;#59; x --#62; y<br/>1"]
  n3["Shipped<br/>1"]
  n4["end<br/>1"]
  start -->|2| n1
  start -->|1| n2
  n1 -->|2| n0
  n2 -->|1| n4
  n0 -->|1| n3
  n0 -->|1| stop
  n3 -->|1| stop
  n4 -->|1| stop
`, b.String())
}

func TestGraphvizDrawsEachEdgeOnce(t *testing.T) {
	var b bytes.Buffer
	drawn().Graphviz(&b)
	require.Equal(t, `digraph process {
  node [shape=box];
  start [shape=circle];
  stop [shape=circle, label="end"];
  n0 [label="Paid\n2"];
  n1 [label="Placed\n2"];
  n2 [label="\"]; x --> y\n1"];
  n3 [label="Shipped\n1"];
  n4 [label="end\n1"];
  start -> n1 [label="2"];
  start -> n2 [label="1"];
  n1 -> n0 [label="2"];
  n2 -> n4 [label="1"];
  n0 -> n3 [label="1"];
  n0 -> stop [label="1"];
  n3 -> stop [label="1"];
  n4 -> stop [label="1"];
}
`, b.String())
	if dot, err := exec.LookPath("dot"); err == nil { // Graphviz itself reads it
		c := exec.CommandContext(t.Context(), dot, "-Tplain")
		c.Stdin = strings.NewReader(b.String())
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}
