// Package protecttest makes sealed events for tests.
package protecttest

import (
	"context"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// Seal seals an event without rules, which can't fail.
func Seal(v event.Valid) protect.Sealed {
	sealed, err := protect.NewProtector().Seal(context.Background(), []event.Valid{v})
	if err != nil {
		panic(err)
	}
	return sealed[0]
}
