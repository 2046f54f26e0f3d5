package query

import (
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

const (
	// maxExports is how many exports one process streams at once: each holds two pages of events and some
	// thousand hashes, about 40 MiB where events are large.
	maxExports = 8

	// maxOwnExports is how many of them are one caller's: whoever reads slowly leaves the others room.
	maxOwnExports = maxExports / 2
)

var (
	errManyExports    = errs.New(errs.Unavailable, "unavailable", "too many exports are under way; try again later")
	errManyOwnExports = errs.New(errs.Unavailable, "unavailable", "you have %d exports under way, and may have no more; try again when one has ended", maxOwnExports)
)

// newExportSlots returns the slots of exports.
func newExportSlots() *httpserver.Slots {
	return &httpserver.Slots{Most: maxExports, MostOwn: maxOwnExports, Full: errManyExports, OwnFull: errManyOwnExports}
}

var (
	errFeedsWait    = errs.New(errs.Unavailable, "unavailable", "too many feeds wait already; try again in a second")
	errOwnFeedsWait = errs.New(errs.Unavailable, "unavailable", "too many of your feeds wait already; try again in a second")
)

// newFeedSlots returns the slots of feeds that wait. A quarter is kept from each caller for the others.
func newFeedSlots(most int) *httpserver.Slots {
	return &httpserver.Slots{Most: most, MostOwn: most - most/4, Full: errFeedsWait, OwnFull: errOwnFeedsWait}
}
