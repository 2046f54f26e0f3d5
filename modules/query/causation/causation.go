// Package causation makes a tree of the events of one workflow: each event below the one that caused it.
// It is pure: no database, no HTTP.
package causation

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// maxDepth is how many events a chain has before it is cut: readers of JSON bound its nesting.
const maxDepth = 250

// Node is an event and what it caused.
type Node struct {
	Event    *event.Stored
	Cause    string // its causation id; "" for none
	cause    *Node  // nil where the cause is not in the trace
	children []*Node
	index    int
	depth    int
	state    int // of the search for cycles
}

// Tree is a workflow. Every event is in it once: below its cause, as a root or as an orphan.
type Tree struct {
	CorrelationID string
	Roots         []*Node
	Orphans       []*Node    // whose cause is not in the trace
	Cycles        [][]string // ids of events that cause each other
	Missing       []string   // causation ids that no event has
	Truncated     bool
	nodes         []*Node
}

// Build makes a tree. Settle has to be called afterwards.
func Build(correlationID string, events []event.Stored, truncated bool) *Tree {
	t := &Tree{CorrelationID: correlationID, Truncated: truncated, Cycles: [][]string{}, Missing: []string{}}
	byID := make(map[event.ID]*Node, len(events))
	for i := range events {
		n := &Node{Event: &events[i], Cause: causeOf(&events[i])}
		t.nodes = append(t.nodes, n)
		byID[n.Event.ID] = n
	}
	slices.SortFunc(t.nodes, func(a, b *Node) int {
		return cmp.Or(a.Event.Timestamp.Compare(b.Event.Timestamp), cmp.Compare(a.Event.Position, b.Event.Position))
	})
	for i, n := range t.nodes {
		n.index = i
		if id, err := event.ParseID(n.Cause); err == nil {
			n.cause = byID[id]
		}
	}
	roots := t.findCycles()
	for _, n := range t.nodes {
		switch {
		case n.Cause == "" || roots[n]:
			t.Roots = append(t.Roots, n)
		case n.cause == nil:
			t.Orphans = append(t.Orphans, n)
		default:
			n.cause.children = append(n.cause.children, n)
		}
	}
	t.cutChains()
	return t
}

// causeOf reads an event's causation id.
func causeOf(e *event.Stored) string {
	var m struct {
		CausationID string `json:"causationId"`
	}
	// Metadata of stored events is an object whose causationId is a string, where there is one.
	if err := json.Unmarshal(e.Metadata, &m, jsontext.AllowDuplicateNames(true)); err != nil {
		return ""
	}
	return m.CausationID
}

// findCycles lists the cycles, and returns the earliest event of each, which becomes a root.
func (t *Tree) findCycles() map[*Node]bool {
	const under, done = 1, 2
	roots := map[*Node]bool{}
	for _, start := range t.nodes {
		var path []*Node
		n := start
		for ; n != nil && n.state == 0; n = n.cause {
			n.state = under
			path = append(path, n)
		}
		if n != nil && n.state == under {
			cycle := slices.Clone(path[slices.Index(path, n):])
			slices.Reverse(cycle) // from cause to effect
			first := slices.MinFunc(cycle, func(a, b *Node) int { return a.index - b.index })
			at := slices.Index(cycle, first)
			ids := []string{}
			for i := range cycle {
				ids = append(ids, cycle[(at+i)%len(cycle)].Event.ID.String())
			}
			t.Cycles = append(t.Cycles, ids)
			roots[first] = true
		}
		for _, p := range path {
			p.state = done
		}
	}
	return roots
}

// cutChains makes a root of each event that lies deeper than maxDepth below its root.
func (t *Tree) cutChains() {
	queue := slices.Concat(t.Roots, t.Orphans)
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if n.depth+1 >= maxDepth {
			t.Roots = append(t.Roots, n.children...)
			queue = append(queue, n.children...) // with depth 0
			n.children = nil
			continue
		}
		for _, c := range n.children {
			c.depth = n.depth + 1
		}
		queue = append(queue, n.children...)
	}
}

// Outside returns the ids of the causes that are not in the trace.
func (t *Tree) Outside() []event.ID {
	ids := []event.ID{}
	for _, n := range t.Orphans {
		if id, err := event.ParseID(n.Cause); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// Settle finds out which causes are missing, by what is known of events outside the trace.
func (t *Tree) Settle(known func(event.ID) bool) {
	for _, n := range t.Orphans {
		if id, err := event.ParseID(n.Cause); err != nil || !known(id) {
			t.Missing = append(t.Missing, n.Cause)
		}
	}
	slices.Sort(t.Missing)
	t.Missing = slices.Compact(t.Missing)
}

// afterMs is the time from the node's cause to it in milliseconds, exact; "null" where there is none.
func (n *Node) afterMs() string {
	if n.cause == nil {
		return "null"
	}
	micros := n.Event.Timestamp.Sub(n.cause.Event.Timestamp).Microseconds()
	return strconv.FormatFloat(float64(micros)/1000, 'f', -1, 64)
}

// AppendJSON appends the tree as the API shows it.
func (t *Tree) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"correlationId":`...)
	dst, _ = jsontext.AppendQuote(dst, t.CorrelationID)
	dst = append(dst, `,"events":`...)
	dst = strconv.AppendInt(dst, int64(len(t.nodes)), 10)
	dst = appendNodes(append(dst, `,"roots":`...), t.Roots)
	dst = appendNodes(append(dst, `,"orphans":`...), t.Orphans)
	dst = append(dst, `,"cycles":[`...)
	for i, cycle := range t.Cycles {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTexts(dst, cycle)
	}
	dst = appendTexts(append(dst, `],"missing":`...), t.Missing)
	dst = append(dst, `,"truncated":`...)
	return append(strconv.AppendBool(dst, t.Truncated), '}')
}

func appendNodes(dst []byte, nodes []*Node) []byte {
	dst = append(dst, '[')
	for i, n := range nodes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.Event.AppendJSON(append(dst, `{"event":`...))
		dst = append(append(dst, `,"afterMs":`...), n.afterMs()...)
		dst = append(appendNodes(append(dst, `,"children":`...), n.children), '}')
	}
	return append(dst, ']')
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = jsontext.AppendQuote(dst, text)
	}
	return append(dst, ']')
}
