// Package longtest tells tests whether they may take long. It is imported by tests only.
//
// `go test ./...` is for a laptop, and ends within minutes. What takes longer and shows little more waits for
// TEST_LONG: long faults, whole benchmarks, many rounds of property tests. CI sets it. Where CI is set and TEST_LONG
// is not, the test fails: there nothing may be left out.
package longtest

import (
	"flag"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// Variable is the environment variable that asks for long runs; any value does.
const Variable = "TEST_LONG"

// isWanted reports whether long runs are wanted, and whether they must not be left out.
func isWanted() (wanted, must bool) {
	return os.Getenv(Variable) != "", os.Getenv("CI") != ""
}

// Only skips t unless long runs are wanted. what says what t does: "it builds an older version".
func Only(t testing.TB, what string) {
	t.Helper()
	if !wanted(t) {
		t.Skipf("%s: left out, since it takes long; %s=1 go test -run '^%s$' %s", what, Variable, t.Name(), testedPackage())
	}
}

// Choose returns long where long runs are wanted, else quick: how many rounds, or how much data, t takes.
func Choose[T any](t testing.TB, quick, long T) T {
	t.Helper()
	if wanted(t) {
		return long
	}
	return quick
}

// FewerChecks makes each rapid.Check of this process run n rounds instead of rapid's 100, unless long runs are wanted
// or -rapid.checks says how many. A package calls it in TestMain, once the flags are parsed.
func FewerChecks(n int) { fewerChecks(flag.CommandLine, n) }

func fewerChecks(flags *flag.FlagSet, n int) {
	const checks = "rapid.checks"
	isGiven := false
	flags.Visit(func(f *flag.Flag) { isGiven = isGiven || f.Name == checks })
	wanted, must := isWanted()
	if wanted || isGiven {
		return
	}
	if must {
		panic(missing)
	}
	if err := flags.Set(checks, strconv.Itoa(n)); err != nil {
		panic(err)
	}
}

const missing = "CI must run every test in full: set " + Variable

func wanted(t testing.TB) bool {
	t.Helper()
	wanted, must := isWanted()
	if must && !wanted {
		t.Fatal(missing)
	}
	return wanted
}

// testedPackage returns the import path of the package under test.
func testedPackage() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Path != "" {
		return strings.TrimSuffix(info.Path, ".test")
	}
	return "."
}
