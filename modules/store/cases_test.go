package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/errs"
)

// Correlation ids are as long as producers make them. Cases of very long ones are refused, and not kept in so much memory.
func TestCasesOfLongIDsAreRefused(t *testing.T) {
	c := newCases()
	number, long := make([]byte, 8), strings.Repeat("𝄞", 250)
	var err error
	read := 0
	for ; err == nil && read < MaxCaseEvents; read++ {
		err = c.add([][]byte{[]byte("Placed"), number, number, fmt.Append(nil, read, long)})
	}
	var refused *errs.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "range_too_long", refused.Code)
	require.Greater(t, read, 60_000)
	require.NoError(t, newCases().add([][]byte{[]byte("Placed"), number, number, []byte(long)}))
}
