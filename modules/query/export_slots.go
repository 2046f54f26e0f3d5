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

// exportSlots counts the exports under way. The zero value has none.
type exportSlots struct {
	mu    sync.Mutex // guards all below
	taken int
	own   map[string]int // by caller; who has none is not in it
}

// take takes a slot for a caller until it is given back, or answers why there is none.
func (s *exportSlots) take(caller string) (giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own[caller] >= maxOwnExports:
		return nil, errManyOwnExports
	case s.taken >= maxExports:
		return nil, errManyExports
	}
	if s.own == nil {
		s.own = map[string]int{}
	}
	s.taken++
	s.own[caller]++
	return func() { s.giveBack(caller) }, nil
}

func (s *exportSlots) giveBack(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.own[caller]--; s.own[caller] == 0 {
		delete(s.own, caller)
	}
}
