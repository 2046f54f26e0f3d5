package fold

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// savedForm is part of the hash of rules: another layout of what is saved, or another meaning of a rule, gets
// another number.
const savedForm = "1"

// Hash tells rules that make different states apart.
func (r *Rules) Hash() []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q", savedForm, r.options.Rules))
	return sum[:]
}

// saved is a fold and the versions of its events, to go on from later.
type saved struct {
	State    jsontext.Value `json:"state"`
	Greatest int32          `json:"greatest"`
	Late     int            `json:"late"`
	Disorder []Late         `json:"disorder"`
	Runs     []run          `json:"runs"`
}

// run is versions that follow each other, each of which as many events have.
type run struct {
	First  int32 `json:"first"`
	Last   int32 `json:"last"`
	Events int   `json:"events"`
}

// Save answers what Resume goes on from.
func Save(f *Fold, v *Versions) ([]byte, error) {
	s := saved{State: f.State(), Greatest: v.greatest, Late: v.late, Disorder: v.disorder}
	sorted := slices.Clone(v.seen)
	slices.Sort(sorted)
	for i := 0; i < len(sorted); {
		version, n := sorted[i], 1
		for i+n < len(sorted) && sorted[i+n] == version {
			n++
		}
		i += n
		if last := len(s.Runs) - 1; last >= 0 && s.Runs[last].Last+1 == version && s.Runs[last].Events == n {
			s.Runs[last].Last = version
		} else {
			s.Runs = append(s.Runs, run{version, version, n})
		}
	}
	return json.Marshal(s, jsontext.AllowDuplicateNames(true))
}

// Resume goes on with a fold that was saved. The event that made a part of it is not known any more: changes can be
// told from that state on.
func Resume(rules *Rules, changes bool, text []byte) (*Fold, *Versions, error) {
	var s saved
	if err := json.Unmarshal(text, &s, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, nil, fmt.Errorf("read saved fold: %w", err)
	}
	root, err := parse(s.State)
	if err != nil {
		return nil, nil, fmt.Errorf("read saved state: %w", err)
	}
	f := New(rules, changes)
	f.tree.root, f.tree.size = root, root.disown()
	v := &Versions{greatest: s.Greatest, late: s.Late, disorder: s.Disorder}
	for _, r := range s.Runs {
		for version := int64(r.First); version <= int64(r.Last); version++ {
			for range r.Events {
				v.seen = append(v.seen, int32(version))
			}
		}
	}
	return f, v, nil
}

// disown makes a tree one that no known event has made, and answers its size.
func (n *node) disown() int {
	n.by = -1
	size := len(n.text)
	for name, m := range n.members {
		size += nodeBytes + len(name) + m.disown()
	}
	return size
}
