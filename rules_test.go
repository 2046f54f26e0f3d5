package main

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What no import tells: nothing below cmd ends the process, no package has state or does something when
// it is imported, and the event store's tables are named in one module only.

func TestOnlyRootEndsTheProcess(t *testing.T) {
	for _, f := range sources(t) {
		if f.test() || f.path() == "cmd/root.go" || f.dir == "bench" || strings.HasPrefix(f.dir, "bench/") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && endsProcess(s) {
				t.Errorf("%s: only cmd/root.go ends the process", f.at(n))
			}
			return true
		})
	}
}

func endsProcess(s *ast.SelectorExpr) bool {
	pkg, ok := s.X.(*ast.Ident)
	if !ok || pkg.Obj != nil { // a variable of that name
		return false
	}
	switch pkg.Name {
	case "os", "syscall", "unix":
		return s.Sel.Name == "Exit"
	case "log":
		return strings.HasPrefix(s.Sel.Name, "Fatal") || strings.HasPrefix(s.Sel.Name, "Panic")
	}
	return false
}

// One switch tells whether tests may take long: platform/longtest, which fails a test in CI where it is off.
func TestLongRunsHaveOneSwitch(t *testing.T) {
	const variable = "TEST_LONG"
	for _, f := range sources(t) {
		if f.dir == "platform/longtest" || f.path() == "rules_test.go" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "testing" && n.Sel.Name == "Short" {
					t.Errorf("%s: ask platform/longtest in place of testing.Short", f.at(n))
				}
			case *ast.BasicLit:
				if strings.Trim(n.Value, "`\"") == variable {
					t.Errorf("%s: only platform/longtest reads %s", f.at(n), variable)
				}
			}
			return true
		})
	}
}

func TestNoGlobalLoggerOrRegistry(t *testing.T) {
	global := map[string][]string{
		"slog":       {"SetDefault", "Default", "Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "With"},
		"prometheus": {"MustRegister", "Register", "DefaultRegisterer", "DefaultGatherer"},
		"otel":       {"SetTracerProvider", "SetTextMapPropagator", "SetErrorHandler", "SetLogger", "GetTracerProvider", "Tracer", "Handle"},
		"http":       {"Handle", "HandleFunc", "DefaultServeMux", "DefaultClient", "ListenAndServe"},
	}
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := s.X.(*ast.Ident); ok && pkg.Obj == nil && slices.Contains(global[pkg.Name], s.Sel.Name) {
				t.Errorf("%s: %s.%s is global: pass one on instead", f.at(n), pkg.Name, s.Sel.Name)
			}
			return true
		})
	}
}

func TestNoPackageState(t *testing.T) {
	packages := map[string][]*file{}
	for _, f := range sources(t) {
		if !f.test() && !f.generated() {
			packages[f.dir] = append(packages[f.dir], f)
		}
	}
	for _, files := range packages {
		declared := packageVariables{map[string]bool{}, map[*ast.ValueSpec]bool{}}
		for _, f := range files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init() does something when the package is imported", f.at(fn))
				}
				for _, v := range variables(d) {
					declared.specs[v] = true
					for _, name := range v.Names {
						declared.names[name.Name] = name.Name != "_"
					}
					if why := statefulSpec(v, d.(*ast.GenDecl)); why != "" {
						t.Errorf("%s: package variable %s %s", f.at(v), v.Names[0].Name, why)
					}
				}
			}
		}
		for _, f := range files {
			reportWrites(t, f, declared)
		}
	}
}

func variables(d ast.Decl) []*ast.ValueSpec {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return nil
	}
	var out []*ast.ValueSpec
	for _, s := range g.Specs {
		out = append(out, s.(*ast.ValueSpec))
	}
	return out
}

// statefulSpec answers why a declaration can only be meant to change: it has no value (unless files are
// embedded into it), or one that is a lock, a counter, a channel or an empty map.
func statefulSpec(v *ast.ValueSpec, d *ast.GenDecl) string {
	if v.Names[0].Name == "_" {
		return "" // a check that a type fulfils an interface
	}
	if len(v.Values) == 0 {
		for _, doc := range []*ast.CommentGroup{d.Doc, v.Doc} {
			if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
				return ""
			}
		}
		return "has no value: it is there to be changed"
	}
	for _, value := range v.Values {
		if why := statefulValue(value); why != "" {
			return why
		}
	}
	return ""
}

func statefulValue(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.UnaryExpr:
		if x.Op == token.AND {
			return "points to something that can change"
		}
	case *ast.CompositeLit:
		if s, ok := x.Type.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && (pkg.Name == "sync" || pkg.Name == "atomic") {
				return "is a lock or a counter"
			}
		}
	case *ast.CallExpr:
		if fn, ok := x.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
			return "is made to be filled"
		}
		if s, ok := x.Fun.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && (pkg.Name == "prometheus" || pkg.Name == "promauto" || pkg.Name == "sync") {
				return "is state: make it in a constructor"
			}
		}
	}
	return ""
}

// reportWrites finds assignments to package variables, their elements and members, and where their
// address is taken.
func reportWrites(t *testing.T, f *file, declared packageVariables) {
	t.Helper()
	check := func(e ast.Expr, n ast.Node) {
		if id := root(e); id != nil && declared.has(id) {
			t.Errorf("%s: package variable %s is written to", f.at(n), id.Name)
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, e := range x.Lhs {
					check(e, n)
				}
			}
		case *ast.IncDecStmt:
			check(x.X, n)
		case *ast.UnaryExpr:
			if _, literal := x.X.(*ast.CompositeLit); x.Op == token.AND && !literal {
				check(x.X, n)
			}
		case *ast.CallExpr:
			if fn, ok := x.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(x.Args) > 0 {
				check(x.Args[0], n)
			}
		}
		return true
	})
}

// root is the variable that an expression leads into: x in x.a[1].
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// packageVariables are what a package declares, by name, and by declaration for what shadows them.
type packageVariables struct {
	names map[string]bool
	specs map[*ast.ValueSpec]bool
}

// has: the parser resolves what is declared in the same file; what it leaves unresolved is declared in
// another file of the package, or imported.
func (p packageVariables) has(id *ast.Ident) bool {
	if !p.names[id.Name] {
		return false
	}
	if id.Obj == nil {
		return true
	}
	spec, ok := id.Obj.Decl.(*ast.ValueSpec)
	return ok && p.specs[spec]
}

// TestOnlyStoreNamesTheTables looks for SQL over the tables of migrations/ in string literals.
func TestOnlyStoreNamesTheTables(t *testing.T) {
	tables := tables(t)
	sql := regexp.MustCompile(`(?is)\b(from|into|update|join|copy|table|analyze|truncate|only)\s+"?(public"?\."?)?(` + strings.Join(tables, "|") + `)\b`)
	for _, f := range sources(t) {
		if f.test() || f.dir == "modules/store" || f.dir == "modules/store/audit" || strings.HasPrefix(f.dir, "bench") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err == nil && looksLikeSQL(text) && sql.MatchString(text) {
				t.Errorf("%s: SQL over the event store belongs into modules/store", f.at(n))
			}
			return true
		})
	}
}

// looksLikeSQL tells statements, whose keywords we write in capitals, from sentences.
func looksLikeSQL(s string) bool {
	return regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|COPY|ANALYZE|TRUNCATE|ALTER|CREATE|DROP|LOCK)\b`).MatchString(s)
}

// tables are the names that migrations/ creates.
func tables(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.up.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	create := regexp.MustCompile(`(?im)^\s*CREATE TABLE (?:IF NOT EXISTS )?(?:public\.)?([a-z_]+)\b`)
	var out []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range create.FindAllStringSubmatch(string(b), -1) {
			out = append(out, m[1])
		}
	}
	if !slices.Contains(out, "events") || !slices.Contains(out, "ingest_offsets") {
		t.Fatalf("tables were not found: %v", out)
	}
	return out
}

// Readers get events through one door, so that what holds for all of them, as row scopes, has one place.
// store/audit reads everything again by itself: it trusts no reader.
func TestOnePlaceSelectsEvents(t *testing.T) {
	selects := regexp.MustCompile(`(?i)\bFROM\s+(public\.)?events\b`)
	for _, f := range sources(t) {
		if f.test() || f.dir != "modules/store" || f.path() == "modules/store/read_select.go" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && selects.MatchString(lit.Value) {
				t.Errorf("%s: selects events; make a selection (modules/store/read_select.go)", f.at(n))
			}
			return true
		})
	}
}
