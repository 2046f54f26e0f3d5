package longtest

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

// told is a test that remembers how it was ended.
type told struct {
	testing.TB
	name, skipped, failed string
}

func (t *told) Helper()                  {}
func (t *told) Name() string             { return t.name }
func (t *told) Skipf(f string, a ...any) { t.skipped = fmt.Sprintf(f, a...) }
func (t *told) Fatal(a ...any)           { t.failed = fmt.Sprint(a...) }
func (t *told) outcome() (s, f bool)     { return t.skipped != "", t.failed != "" }

func environment(t *testing.T, ci, long string) {
	t.Setenv("CI", ci)
	t.Setenv(Variable, long)
}

func TestOnly(t *testing.T) {
	for _, c := range []struct {
		ci, long        string
		skipped, failed bool
	}{{"", "", true, false}, {"", "1", false, false}, {"true", "1", false, false}} {
		environment(t, c.ci, c.long)
		test := &told{name: "TestX"}
		Only(test, "it sleeps for a year")
		if s, f := test.outcome(); s != c.skipped || f != c.failed {
			t.Errorf("%+v: %q, %q", c, test.skipped, test.failed)
		}
		if how := "TEST_LONG=1 go test -run '^TestX$' audittrail/platform/longtest"; c.skipped && !strings.Contains(test.skipped, "it sleeps for a year: ") || c.skipped && !strings.Contains(test.skipped, how) {
			t.Errorf("it says neither what it leaves out nor how to run it: %q", test.skipped)
		}
	}
}

// In CI a long run that is left out fails its test.
func TestNothingIsLeftOutInCI(t *testing.T) {
	environment(t, "true", "")
	for name, ask := range map[string]func(t testing.TB){
		"Only":   func(t testing.TB) { Only(t, "it sleeps") },
		"Choose": func(t testing.TB) { Choose(t, 1, 2) },
	} {
		test := &told{}
		if ask(test); test.failed == "" {
			t.Errorf("%s did not fail the test", name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("FewerChecks did not fail the process")
		}
	}()
	FewerChecks(1)
}

func TestChoose(t *testing.T) {
	environment(t, "", "")
	if got := Choose(t, 1, 2); got != 1 {
		t.Errorf("a quick run takes %d", got)
	}
	environment(t, "true", "yes")
	if got := Choose(t, 1, 2); got != 2 {
		t.Errorf("a long run takes %d", got)
	}
}

func TestFewerChecks(t *testing.T) {
	for _, c := range []struct{ given, long, want string }{{"", "1", "100"}, {"", "", "7"}, {"50", "", "50"}} {
		environment(t, "", c.long)
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		checks := flags.String("rapid.checks", "100", "")
		if c.given != "" {
			if err := flags.Parse([]string{"-rapid.checks", c.given}); err != nil {
				t.Fatal(err)
			}
		}
		if fewerChecks(flags, 7); *checks != c.want {
			t.Errorf("%+v: %s rounds", c, *checks)
		}
	}
}
