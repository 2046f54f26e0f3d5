package event_test

import (
	"bytes"
	"errors"
	"io"
	"math/big"

	"github.com/go-json-experiment/json/jsontext"
)

// fataler is what both testing.T and rapid.T are here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sameAsLibrary fails unless canonical is what jsontext makes of the text in, but for its numbers, which
// must be of the same value.
func sameAsLibrary(t fataler, in, canonical []byte) {
	t.Helper()
	v := jsontext.Value(bytes.Clone(in))
	options := []jsontext.Options{
		jsontext.ReorderRawObjects(true), jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false),
	}
	if err := v.Compact(options...); err != nil {
		t.Fatalf("jsontext refuses %q: %v", in, err)
	}
	a, b := jsontext.NewDecoder(bytes.NewReader(v)), jsontext.NewDecoder(bytes.NewReader(canonical))
	for {
		x, errX := a.ReadToken()
		y, errY := b.ReadToken()
		if errX != nil || errY != nil {
			if !errors.Is(errX, io.EOF) || !errors.Is(errY, io.EOF) {
				t.Fatalf("%q: %v, %v", in, errX, errY)
			}
			return
		}
		if x.Kind() != y.Kind() || x.Kind() == '0' && !sameNumber(x.String(), y.String()) || x.Kind() != '0' && x.String() != y.String() {
			t.Fatalf("%q: jsontext has %s where we have %s", in, x, y)
		}
	}
}

// sameNumber compares exactly. Numbers too long for that are taken for the same.
func sameNumber(x, y string) bool {
	a, ok := new(big.Rat).SetString(x)
	if !ok {
		return true
	}
	b, ok := new(big.Rat).SetString(y)
	return ok && a.Cmp(b) == 0
}
