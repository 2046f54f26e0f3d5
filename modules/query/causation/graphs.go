package causation

import (
	"bytes"
	"fmt"

	"audittrail/platform/graphtext"
)

// Mermaid writes the trace as a Mermaid flowchart.
func (t *Tree) Mermaid(b *bytes.Buffer) {
	b.WriteString("flowchart TD\n")
	for _, n := range t.nodes {
		fmt.Fprintf(b, "  n%d[\"%s<br/>%s %s\"]\n", n.index, graphtext.Mermaid(n.Event.Type), graphtext.Mermaid(n.Event.AggregateType), graphtext.Mermaid(n.Event.AggregateID))
	}
	for i, cause := range t.Missing {
		fmt.Fprintf(b, "  m%d[\"missing: %s\"]:::missing\n", i, graphtext.Mermaid(cause))
	}
	for _, n := range t.nodes {
		if n.cause != nil {
			fmt.Fprintf(b, "  n%d -->|%s ms| n%d\n", n.cause.index, n.afterMs(), n.index)
		}
	}
	t.missingEdges(func(m, n int) { fmt.Fprintf(b, "  m%d -.-> n%d\n", m, n) })
	b.WriteString("  classDef missing stroke-dasharray: 4\n")
}

// Graphviz writes the trace in the DOT language.
func (t *Tree) Graphviz(b *bytes.Buffer) {
	b.WriteString("digraph trace {\n  node [shape=box];\n")
	for _, n := range t.nodes {
		fmt.Fprintf(b, "  n%d [label=\"%s\\n%s %s\"];\n", n.index, graphtext.DOT(n.Event.Type), graphtext.DOT(n.Event.AggregateType), graphtext.DOT(n.Event.AggregateID))
	}
	for i, cause := range t.Missing {
		fmt.Fprintf(b, "  m%d [label=\"missing: %s\", style=dashed];\n", i, graphtext.DOT(cause))
	}
	for _, n := range t.nodes {
		if n.cause != nil {
			fmt.Fprintf(b, "  n%d -> n%d [label=\"%s ms\"];\n", n.cause.index, n.index, n.afterMs())
		}
	}
	t.missingEdges(func(m, n int) { fmt.Fprintf(b, "  m%d -> n%d [style=dashed];\n", m, n) })
	b.WriteString("}\n")
}

// missingEdges calls edge for each orphan whose cause is missing.
func (t *Tree) missingEdges(edge func(m, n int)) {
	places := make(map[string]int, len(t.Missing))
	for i, cause := range t.Missing {
		places[cause] = i
	}
	for _, n := range t.Orphans {
		if m, missing := places[n.Cause]; missing {
			edge(m, n.index)
		}
	}
}
