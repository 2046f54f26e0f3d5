package ledger

// What tests of package ledger_test need of the inside.

// InclusionCheck is inclusionCheck for tests.
type InclusionCheck struct{ inclusionCheck }

// NewInclusionCheck makes one.
func NewInclusionCheck(size int64, root Hash) *InclusionCheck {
	return &InclusionCheck{inclusionCheck{size: size, root: root}}
}

// Verify verifies a proof.
func (c *InclusionCheck) Verify(leaf Hash, index int64, p Proof) bool {
	return c.verify(leaf, index, p)
}

// ErrProofLong is errProofLong for tests.
var ErrProofLong = errProofLong
