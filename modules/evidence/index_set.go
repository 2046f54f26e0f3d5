package evidence

// The pages of an indexSet: 4,096 indexes each, and 64 MiB in all.
const (
	pageBits  = 12
	pageWords = 1 << (pageBits - 6)
	mostPages = 64 << 20 / (pageWords * 8)
)

// indexSet is the indexes that were seen, in bounded memory: when it is full it knows only what it knew.
type indexSet struct {
	pages    map[int64]*[pageWords]uint64
	full     bool // an index was not kept
	repeated bool // an index came twice
}

// add keeps an index; it is false where that was seen before.
func (s *indexSet) add(index int64) bool {
	page := s.pages[index>>pageBits]
	if page == nil {
		if len(s.pages) == mostPages {
			s.full = true
			return true
		}
		if s.pages == nil {
			s.pages = map[int64]*[pageWords]uint64{}
		}
		page = new([pageWords]uint64)
		s.pages[index>>pageBits] = page
	}
	word, bit := &page[index>>6%pageWords], uint64(1)<<(index&63)
	if *word&bit != 0 {
		s.repeated = true
		return false
	}
	*word |= bit
	return true
}
