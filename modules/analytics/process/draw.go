package process

import (
	"bytes"
	"fmt"

	"audittrail/platform/graphtext"
)

// Mermaid writes the graph as a Mermaid flowchart, with the number of cases on each edge.
func (g *Graph) Mermaid(b *bytes.Buffer) {
	b.WriteString("flowchart TD\n  start((start))\n  stop((end))\n")
	names := g.names()
	for _, a := range g.Activities() {
		fmt.Fprintf(b, "  %s[\"%s<br/>%d\"]\n", names[a.Type], graphtext.Mermaid(a.Type), a.Count)
	}
	for _, a := range g.Activities() {
		if a.Starts > 0 {
			fmt.Fprintf(b, "  start -->|%d| %s\n", a.Starts, names[a.Type])
		}
	}
	for _, e := range g.Edges() {
		fmt.Fprintf(b, "  %s -->|%d| %s\n", names[e.From], e.Count, names[e.To])
	}
	for _, a := range g.Activities() {
		if a.Ends > 0 {
			fmt.Fprintf(b, "  %s -->|%d| stop\n", names[a.Type], a.Ends)
		}
	}
}

// Graphviz writes the graph in the DOT language.
func (g *Graph) Graphviz(b *bytes.Buffer) {
	b.WriteString("digraph process {\n  node [shape=box];\n  start [shape=circle];\n  stop [shape=circle, label=\"end\"];\n")
	names := g.names()
	for _, a := range g.Activities() {
		fmt.Fprintf(b, "  %s [label=\"%s\\n%d\"];\n", names[a.Type], graphtext.DOT(a.Type), a.Count)
	}
	for _, a := range g.Activities() {
		if a.Starts > 0 {
			fmt.Fprintf(b, "  start -> %s [label=\"%d\"];\n", names[a.Type], a.Starts)
		}
	}
	for _, e := range g.Edges() {
		fmt.Fprintf(b, "  %s -> %s [label=\"%d\"];\n", names[e.From], names[e.To], e.Count)
	}
	for _, a := range g.Activities() {
		if a.Ends > 0 {
			fmt.Fprintf(b, "  %s -> stop [label=\"%d\"];\n", names[a.Type], a.Ends)
		}
	}
	b.WriteString("}\n")
}

// names are the nodes' names in a drawing.
func (g *Graph) names() map[string]string {
	names := map[string]string{}
	for i, a := range g.Activities() {
		names[a.Type] = fmt.Sprintf("n%d", i)
	}
	return names
}
