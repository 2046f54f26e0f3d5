package evidence

import (
	"runtime"
	"strings"
	"testing"

	"audittrail/modules/ledger"
)

// A text that is cut to be shown is not looked at behind the cut: it may be as long as an entry.
func TestWhatIsShownIsCutFirst(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"short":                   {"größe", "größe"},
		"as long as it may be":    {strings.Repeat("ß", 200), strings.Repeat("ß", 200)},
		"one longer":              {strings.Repeat("ß", 201), strings.Repeat("ß", 200) + "…"},
		"odd behind the cut":      {strings.Repeat("a", 200) + "\x1b[2J", strings.Repeat("a", 200) + "…"},
		"odd before it":           {"\x1b" + strings.Repeat("a", 300), `"\x1b` + strings.Repeat("a", 199) + `\u2026"`},
		"no UTF-8":                {"a\xff", `"a\xff"`},
		"no UTF-8, and too long":  {strings.Repeat("\xff", 201), `"` + strings.Repeat(`\xff`, 200) + `\u2026"`},
		"no UTF-8 behind the cut": {strings.Repeat("a", 201) + "\xff", strings.Repeat("a", 200) + "…"},
	} {
		if got := ledger.Printable(c.text); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	long := strings.Repeat("a", 32<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = ledger.Printable(long)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("it took %d bytes", took)
	}
}
