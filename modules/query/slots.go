package query

import (
	"sync"

	"audittrail/platform/errs"
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
func newExportSlots() *slots {
	return &slots{most: maxExports, mostOwn: maxOwnExports, full: errManyExports, ownFull: errManyOwnExports}
}

var (
	errFeedsWait    = errs.New(errs.Unavailable, "unavailable", "too many feeds wait already; try again in a second")
	errOwnFeedsWait = errs.New(errs.Unavailable, "unavailable", "too many of your feeds wait already; try again in a second")
)

// newFeedSlots returns the slots of feeds that wait. A quarter is kept from each caller for the others.
func newFeedSlots(most int) *slots {
	return &slots{most: most, mostOwn: most - most/4, full: errFeedsWait, ownFull: errOwnFeedsWait}
}

// slots counts what is under way, of all callers and of each.
type slots struct {
	most, mostOwn int   // of all callers, and of one
	full, ownFull error // why there is none

	mu    sync.Mutex // guards all below
	taken int
	own   map[string]int // by caller; who has none is not in it
}

// take takes a slot for a caller until it is given back, or answers why there is none.
func (s *slots) take(caller string) (giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own[caller] >= s.mostOwn:
		return nil, s.ownFull
	case s.taken >= s.most:
		return nil, s.full
	}
	if s.own == nil {
		s.own = map[string]int{}
	}
	s.taken++
	s.own[caller]++
	return func() { s.giveBack(caller) }, nil
}

func (s *slots) giveBack(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.own[caller]--; s.own[caller] == 0 {
		delete(s.own, caller)
	}
}
