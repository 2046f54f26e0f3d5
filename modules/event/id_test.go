package event_test

import (
	"strings"
	"testing"

	"audittrail/modules/event"
)

func TestParseID(t *testing.T) {
	for _, in := range []string{
		"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e", "018F4E2A-7C31-7B5A-9D7E-1F2A3B4C5D6E",
		"ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000001",
		"f3516ff1-97e1-5e9e-a2ac-4f80b1b592c5", "01234567-89ab-0def-0123-456789abcdef",
	} {
		id, err := event.ParseID(in)
		if err != nil || id.String() != strings.ToLower(in) {
			t.Errorf("%s: %s, %v", in, id, err)
		}
	}
	for _, in := range []string{
		"", "00000000-0000-0000-0000-000000000000", "018f4e2a7c317b5a9d7e1f2a3b4c5d6e", "{018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e}",
		"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6", "018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e0", "018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6g",
		"018f4e2a_7c31_7b5a_9d7e_1f2a3b4c5d6e", "018f4e2-a7c31-7b5a-9d7e-1f2a3b4c5d6e", "018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6é",
		"-18f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e", "018f4e2a-7c31-7b5a-9d7-e1f2a3b4c5d6e",
	} {
		if id, err := event.ParseID(in); err == nil {
			t.Errorf("%q: taken for %s", in, id)
		}
	}
}
