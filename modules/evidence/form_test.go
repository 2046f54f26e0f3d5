package evidence_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

func committedKeys(t *testing.T) ledger.Keys {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "keys.txt"))
	require.NoError(t, err)
	return ledgertest.Keys(t, string(text))
}

// TestWhatIsCutIsStillWhatItWas: neither evidence nor an export is taken for another form where it ends early,
// behind whatever text of theirs.
func TestWhatIsCutIsStillWhatItWas(t *testing.T) {
	trusted := committedKeys(t)
	for name, form := range map[string]evidence.Form{"events.json": evidence.FormBundle, "access.json": evidence.FormBundle, "export.ndjson": evidence.FormExport} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		if form == evidence.FormExport { // a producer may write what it likes
			text = bytes.Replace(text, []byte(`"eventType":"`), []byte(`"eventType":"x/events`), 1)
		}
		for cut := len(`{"eventId":`); cut < min(len(bytes.TrimSpace(text)), 3000); cut++ {
			report, err := evidence.Verify(bytes.NewReader(text[:cut]), trusted, nil)
			require.Error(t, err)
			require.Equal(t, form, report.Form, "%s, cut behind %q", name, text[max(0, cut-20):cut])
		}
	}
}

// TestAFileIsSeenByMoreThanItsStart: what is looked at first may end in any text.
func TestAFileIsSeenByMoreThanItsStart(t *testing.T) {
	trusted := committedKeys(t)
	text, err := os.ReadFile(filepath.Join("testdata", "events.json"))
	require.NoError(t, err)
	one := strings.ReplaceAll(string(text), "\n", "")
	end := strings.Index(one, "/events") + len("/events")
	for _, looked := range []int{4096, 8192, 1 << 16} {
		report, err := evidence.Verify(strings.NewReader("{"+strings.Repeat(" ", looked-end)+one[1:]), trusted, nil)
		require.NoError(t, err, "%d", looked)
		require.Equal(t, evidence.FormBundle, report.Form)
	}
}
