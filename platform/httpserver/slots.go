package httpserver

import "sync"

// Slots counts what is under way, of all callers and of each: one caller can't take the places of all.
type Slots struct {
	Most, MostOwn int   // of all callers, and of one
	Full, OwnFull error // why there is none

	mu    sync.Mutex // guards all below
	taken int
	own   map[string]int // by caller; who has none is not in it
}

// Take takes a slot for a caller until it is given back, or answers why there is none.
func (s *Slots) Take(caller string) (giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own[caller] >= s.MostOwn:
		return nil, s.OwnFull
	case s.taken >= s.Most:
		return nil, s.Full
	}
	if s.own == nil {
		s.own = map[string]int{}
	}
	s.taken++
	s.own[caller]++
	return func() { s.giveBack(caller) }, nil
}

func (s *Slots) giveBack(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.own[caller]--; s.own[caller] == 0 {
		delete(s.own, caller)
	}
}
