package event_test

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"audittrail/modules/event"
)

func TestNumberHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "-0.000e5": "0", "0e99999999999999999999": "0", "0E-99999999999999999999": "0",
		"1": "1", "-1": "-1", "1.0": "1", "1.50": "1.5", "10e-1": "1", "100": "100", "0.1e1": "1", "00.1"[1:]: "0.1",
		"1E400": "1e+400", "-1e400": "-1e+400", "1e+21": "1e+21", "1E21": "1e+21", "1e20": "100000000000000000000",
		"1000000000000000000000": "1e+21", "100000000000000000000": "100000000000000000000",
		"123456789012345678901":      "123456789012345678901",
		"1234567890123456789012":     "1.234567890123456789012e+21",
		"123456789012345678901.25":   "123456789012345678901.25",
		"1234567890123456789012.5":   "1.2345678901234567890125e+21",
		"9223372036854775808":        "9223372036854775808",
		"333333333.33333329":         "333333333.33333329",
		"0.000001":                   "0.000001",
		"0.0000001":                  "1e-7",
		"0.00000123":                 "0.00000123",
		"0.000000123":                "1.23e-7",
		"1e-7":                       "1e-7",
		"12e-8":                      "1.2e-7",
		"12.30e2":                    "1230",
		"12.30e1":                    "123",
		"12.30e0":                    "12.3",
		"1.0e-400":                   "1e-400",
		"1e00000000000000000000005":  "100000",
		"1e-00000000000000000000002": "0.01",
		"1e999":                      "1e+999",
		"1e-999":                     "1e-999",
		"0." + strings.Repeat("0", 2000) + "1e2000": "0.1",
		"1" + strings.Repeat("0", 2000) + "e-2000":  "1",
		strings.Repeat("1", 1000):                   "1." + strings.Repeat("1", 999) + "e+999",
		"1." + strings.Repeat("0", 5000):            "1",
	} {
		if got := string(canonicalOf(t, []byte(in))); got != want {
			t.Errorf("%.40s: got %.40s, want %.40s", in, got, want)
		}
	}
}

func TestNumberBeyondAThousandDigits(t *testing.T) {
	for _, in := range []string{
		"1e1000", "-1e1000", "1e-1000", "12e999", "1.2e-999", "1e131071", "1e-5000", "1e9223372036854775808", "-1e-9223372036854775809",
		strings.Repeat("1", 1001), "0." + strings.Repeat("1", 1000), "1." + strings.Repeat("1", 1000), "1e1099511627776",
	} {
		_, err := event.Canonicalize(nil, []byte("[1,"+in+"]"))
		var e *event.TextError
		if !asTextError(err, &e) || e.Reason != event.NumberOutOfRange || e.Field != "[1]" {
			t.Errorf("%.40s: %v", in, err)
		}
	}
}

// RFC 8785, appendix B: doubles by their bits, and how they are spelled.
func TestNumbersOfRFC8785(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0", 0x8000000000000000: "0",
		0x0000000000000001: "5e-324", 0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308", 0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992", 0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22", 0x44b52d02c7e14af6: "1e+23", 0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000", 0x444b1ae4d6e2ef4f: "999999999999999900000", 0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7", 0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332", 0x41b3de4355555554: "333333333.33333325", 0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334", 0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333", 0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		f := math.Float64frombits(bits)
		for _, format := range []byte("efg") {
			in := strconv.FormatFloat(f, format, -1, 64)
			if got := string(canonicalOf(t, []byte(in))); got != want {
				t.Errorf("%016x as %.30s: got %s, want %s", bits, in, got, want)
			}
		}
	}
}

// Where a double prints the same digits, the spelling is RFC 8785's.
func TestDoubleIsSpelledAsECMAScriptDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "double")
		if rapid.Bool().Draw(t, "any bits") {
			f = math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Skip("JSON has no such number")
		}
		want := jsontext.Value(strconv.FormatFloat(f, 'g', -1, 64))
		if err := want.Canonicalize(); err != nil {
			t.Fatal(err)
		}
		for _, format := range []byte("efgE") {
			in := strconv.FormatFloat(f, format, -1, 64)
			got, err := event.Canonicalize(nil, []byte(in))
			if err != nil || string(got) != string(want) {
				t.Fatalf("%s: got %s (%v), want %s", in, got, err, want)
			}
		}
	})
}

// The spelling changes, the value never does, and of one value there is one spelling.
func TestNumberKeepsItsExactValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		got, err := event.Canonicalize(nil, []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		a, b := new(big.Rat), new(big.Rat)
		a.SetString(in)
		if _, ok := b.SetString(string(got)); !ok || a.Cmp(b) != 0 {
			t.Fatalf("%s became %s", in, got)
		}
		plain, err := event.Canonicalize(nil, []byte(a.FloatString(200)))
		if err != nil || string(plain) != string(got) {
			t.Fatalf("%s is %s, but %s when written out plainly (%v)", in, got, plain, err)
		}
	})
}
