// Package sketch holds the two summaries that rollups keep beside their counts: how many different texts there were
// (Distinct), and how long something took (Durations). It is pure.
//
// A rollup is made in batches of any size, and may be made again from the first event, so a summary must not depend on
// the order or the grouping in which things were added. Both here are sets of integers that grow by max and by sum, and
// their encoded form follows from the set alone. The libraries for this (axiomhq/hyperloglog, DataDog/sketches-go) do
// not promise that: see DECISIONS.
package sketch

import "errors"

// errForm says that bytes are not what this package encodes.
var errForm = errors.New("not a sketch of this form")
