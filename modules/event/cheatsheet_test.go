package event_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// TestTheCheatSheetTellsTheRules holds what producers read against what is asked of them: the example is
// an event, and each reason that a record is refused for is explained, and no other.
func TestTheCheatSheetTellsTheRules(t *testing.T) {
	text, err := os.ReadFile("../../docs/KAFKA-CHEATSHEET.md")
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)## The event\n(.*?)\n## `).FindSubmatch(text)
	require.NotNil(t, section)

	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(section[1])
	require.NotNil(t, example)
	decoded, rejected := event.Decode(event.Raw{Value: example[1]})
	require.Nil(t, rejected)
	_, rejected = decoded.Validate(event.DefaultRules(), eventtest.Now())
	require.Nil(t, rejected)

	_, reasons, _ := strings.Cut(string(section[1]), "| reason |")
	explained := map[event.Reason]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(reasons, -1) {
		explained[event.Reason(m[1])] = true
	}
	given := map[event.Reason]bool{event.EventIDConflict: true, event.StoreRejected: true} // the store's own
	for _, c := range eventtest.Bad() {
		given[c.Reason] = true
	}
	require.Equal(t, given, explained)
}
