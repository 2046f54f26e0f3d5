package evidence

import "testing"

func TestIndexSet(t *testing.T) {
	var s indexSet
	for _, index := range []int64{0, 63, 64, 4095, 4096, 1 << 62} {
		if !s.add(index) {
			t.Errorf("%d is new", index)
		}
	}
	for _, index := range []int64{1 << 62, 4096, 64, 0} {
		if s.add(index) || !s.repeated {
			t.Errorf("%d was there", index)
		}
	}
	// Memory stays bounded: past that, what is known is still known.
	for i := range int64(mostPages + 10) {
		s.add(i << pageBits)
	}
	if len(s.pages) != mostPages || !s.full || s.add(63) {
		t.Errorf("%d pages", len(s.pages))
	}
}
