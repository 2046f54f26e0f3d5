package evidence

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"audittrail/modules/ledger"
)

// An endless file must not fill the memory, wherever it goes on without end.
func TestEndlessEvidenceEnds(t *testing.T) {
	const head = `{"format":"audittrail-evidence/v1",`
	for name, start := range map[string]string{
		"a text":         `{"format":"`,
		"white space":    head,
		"a textual one":  textProofHeader + "extra ",
		"one more value": `{"format":`,
	} {
		_, err := verify(io.MultiReader(strings.NewReader(start), forever(' ')), nil, ledger.Keys{}, nil, 1<<16)
		var e *NotProvenError
		if !errors.As(err, &e) || e.Faults[0].Kind != Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An entry may be as long as it is allowed, and any number of them may follow each other.
func TestMeterCountsFromOneValueToTheNext(t *testing.T) {
	m := &meter{r: forever('x'), most: 10, left: 10}
	for range 3 {
		if n, err := io.ReadFull(m, make([]byte, 10)); n != 10 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := m.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errMeter) {
			t.Fatal(n, err)
		}
		m.next()
	}
}

type forever byte

func (f forever) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(f)
	}
	return len(b), nil
}

// An entry of a bundle is read where it lies: what is allocated for it is a few times its size. (Decoders
// of its parts once had a copy each, of twice the size and in steps that add up to four.)
func TestALargeEntryIsNotCopiedToBeRead(t *testing.T) {
	const size = 32 << 20
	raw := []byte(`{"event":{"position":1,"text":"` + strings.Repeat("a", size) + `"},"index":1,"proof":[]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, fault := readEntry(ledger.Access, raw)
	runtime.ReadMemStats(&after)
	if fault != nil || e.index != 1 {
		t.Fatal(fault)
	}
	// Its canonical form, that without the position, and what is hashed.
	if took := float64(after.TotalAlloc-before.TotalAlloc) / size; took > 4 {
		t.Errorf("%.1f times its size", took)
	}
}
