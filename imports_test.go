package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The import rules:
//
//	main → cmd → cmd/dev → cmd/app → roles and the modules behind commands → core → platform
//
// Each layer may import any to its right. Roles never import roles; of the core each may import those
// before it; platform never imports modules, not even in tests.

const module = "audittrail"

// Layers, from the left. A larger number may not import a smaller one.
const (
	layerMain = iota
	layerCmd
	layerDev
	layerApp
	layerRole
	layerCore
	layerPlatform
)

// roles and what stands behind one command each. None imports another.
func roleModules() []string {
	return []string{"ingest", "query", "replay", "erase", "analytics", "maintain", "notary", "migrate", "publish", "client", "verify"}
}

// core modules: each may import those before it.
func coreModules() []string {
	return []string{"event", "ledger", "evidence", "protect", "store", "access", "httpapi", "sample"}
}

// pureModules do no I/O of their own, and know no database.
func pureModules() []string { return []string{"event", "ledger", "evidence"} }

// file is a parsed Go file.
type file struct {
	dir  string // of its package, relative to the module's root; "." for the root
	name string
	ast  *ast.File
	set  *token.FileSet
}

func (f *file) path() string { return path.Join(f.dir, f.name) }

// test tells files that may do what the program may not: tests, and packages that only tests import.
func (f *file) test() bool { return strings.HasSuffix(f.name, "_test.go") || testSupport(f.dir) }

func (f *file) generated() bool { return ast.IsGenerated(f.ast) }

func (f *file) at(n ast.Node) string { return f.set.Position(n.Pos()).String() }

// testSupport tells packages for tests: their name ends in test, or one above them does.
func testSupport(dir string) bool {
	return slices.ContainsFunc(strings.Split(dir, "/"), func(s string) bool { return strings.HasSuffix(s, "test") })
}

// sources parses all Go files of the module.
func sources(t *testing.T) []*file {
	t.Helper()
	var out []*file
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(set, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		out = append(out, &file{path.Dir(p), path.Base(p), parsed, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d files were found", len(out))
	}
	return out
}

// layerOf places a package; "" as reason where it has its place. rank orders the core.
func layerOf(dir string) (layer, rank int, reason string) {
	parts := strings.Split(dir, "/")
	switch parts[0] {
	case ".", "bench", "charts", "deploy": // bench holds programs of its own, charts and deploy tests
		return layerMain, 0, ""
	case "cmd":
		switch path.Base(dir) {
		case "app":
			return layerApp, 0, ""
		case "dev":
			return layerDev, 0, ""
		}
		return layerCmd, 0, ""
	case "platform", "migrations":
		return layerPlatform, 0, ""
	case "modules":
		if i := slices.Index(coreModules(), parts[1]); i >= 0 {
			return layerCore, i, ""
		}
		if i := slices.Index(roleModules(), parts[1]); i >= 0 {
			return layerRole, i, ""
		}
	}
	return 0, 0, "has no place in the layout: give it one in imports_test.go"
}

// mayImport answers why a package must not import another; "" where it may.
func mayImport(from, to string, test bool) string {
	if strings.HasPrefix(from, "platform/") && strings.HasPrefix(to, "modules/") {
		return "platform never imports modules"
	}
	if test {
		return ""
	}
	if testSupport(to) && !strings.HasPrefix(from, "bench/") {
		return "that package is for tests"
	}
	fromLayer, fromRank, reason := layerOf(from)
	if reason != "" {
		return from + " " + reason
	}
	toLayer, toRank, reason := layerOf(to)
	switch {
	case reason != "":
		return to + " " + reason
	case to == "migrations" && from != "modules/migrate":
		return "migrations are modules/migrate's alone"
	case strings.HasPrefix(to, from+"/") && to == "modules/store/audit":
		return "store/audit reads what store wrote, and store does without it"
	case sameModule(from, to):
		return ""
	case fromLayer > toLayer:
		return "imports go to the right: main, cmd, cmd/dev, cmd/app, roles, core, platform"
	case fromLayer == layerRole && toLayer == layerRole:
		return "roles never import roles"
	case fromLayer == layerCore && toLayer == layerCore && toRank > fromRank:
		return "core modules import those before them: " + strings.Join(coreModules(), ", ")
	}
	return ""
}

// sameModule tells packages of one module, such as modules/ingest and one inside it.
func sameModule(a, b string) bool {
	pa, pb := strings.Split(a, "/"), strings.Split(b, "/")
	return len(pa) > 1 && len(pb) > 1 && pa[0] == "modules" && pb[0] == "modules" && pa[1] == pb[1]
}

func TestImportRules(t *testing.T) {
	for _, f := range sources(t) {
		for _, spec := range f.ast.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := foreignImport(f, to); why != "" {
				t.Errorf("%s imports %s: %s", f.path(), to, why)
			}
			inside, ours := strings.CutPrefix(to, module+"/")
			if !ours {
				continue
			}
			if why := mayImport(f.dir, inside, f.test()); why != "" {
				t.Errorf("%s imports %s: %s", f.path(), inside, why)
			}
		}
	}
}

// foreignImport answers why a file must not import a library, or a package that would break its
// module's purity; "" where it may.
func foreignImport(f *file, to string) string {
	if f.test() {
		return ""
	}
	pure := slices.ContainsFunc(pureModules(), func(m string) bool { return f.dir == "modules/"+m || strings.HasPrefix(f.dir, "modules/"+m+"/") })
	if pure && (strings.Contains(to, "jackc/pgx") || to == module+"/platform/postgres" || to == "database/sql" ||
		to == "net/http" || strings.Contains(to, "franz-go")) {
		return strings.Join(pureModules(), ", ") + " are pure"
	}
	if strings.HasPrefix(to, "github.com/labstack/echo") && !speaksEcho(f) {
		return "Echo's types stay in platform/httpserver and modules/httpapi"
	}
	return ""
}

func speaksEcho(f *file) bool {
	return f.dir == "platform/httpserver" || f.dir == "modules/httpapi"
}

func TestMayImport(t *testing.T) {
	tests := []struct {
		from, to string
		test     bool
		allowed  bool
	}{
		{".", "cmd", false, true},
		{"cmd", "cmd/app", false, true},
		{"cmd", "modules/migrate", false, true},
		{"cmd/dev", "cmd/app", false, true},
		{"cmd/app", "cmd/dev", false, false},
		{"cmd/app", "modules/ingest", false, true},
		{"modules/ingest", "modules/store", false, true},
		{"modules/store", "modules/event", false, true},
		{"modules/store", "modules/evidence", false, true},
		{"modules/evidence", "modules/ledger", false, true},
		{"modules/ledger", "modules/evidence", false, false},
		{"modules/evidence", "modules/store", false, false},
		{"modules/store/audit", "modules/store", false, true},
		{"modules/store", "modules/store/audit", false, false},
		{"modules/verify", "modules/store/audit", false, true},
		{"modules/store", "platform/postgres", false, true},
		{"modules/sample", "modules/httpapi", false, true},
		{"modules/query", "modules/ingest", false, false},
		{"modules/query", "modules/migrate", false, false},
		{"modules/event", "modules/store", false, false},
		{"modules/event", "modules/event/inner", false, true},
		{"modules/store", "modules/ingest", false, false},
		{"platform/kafka", "modules/event", false, false},
		{"platform/kafka", "modules/event", true, false},
		{"modules/ingest", "cmd/app", false, false},
		{"cmd/app", "cmd", false, false},
		{"modules/event", "modules/store", true, true},
		{"modules/store", "modules/migrate/migratetest", true, true},
		{"modules/store", "modules/migrate/migratetest", false, false},
		{"modules/surprise", "platform/errs", false, false},
		{"modules/store", "migrations", false, false},
		{"modules/migrate", "migrations", false, true},
	}
	for _, tt := range tests {
		if got := mayImport(tt.from, tt.to, tt.test); (got == "") != tt.allowed {
			t.Errorf("%s imports %s (test: %v): %q", tt.from, tt.to, tt.test, got)
		}
	}
}
