package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A statement reads values through functions: those that it calls, those of its operators and casts, and those
// that send a type's values. PostgreSQL looks all of them up in its catalogue. Somebody who may write there can
// replace them. For example, a forged cast from jsonb to text can show an altered event as it was.
//
// So the catalogue is read first, and searched for objects that do not come with PostgreSQL but that our
// statements would use. The comparison is done here, not by the server. Two things are still trusted: the
// server's program, and that rows of the catalogue with PostgreSQL's own oids lead to PostgreSQL's own functions
// of the same purpose. Somebody who edits those can't be found out through this server. docs/OPERATIONS.md has
// a way that does not need it.

const (
	// builtIn is the lowest oid of objects that users make.
	builtIn = 16384
	// bootstrapped is above all oids that are fixed in PostgreSQL's program.
	bootstrapped = 10000

	catalogNamespace = 11
	internalLanguage = 12
	cLanguage        = 13
	sqlLanguage      = 14
	btreeMethod      = 403
	hashMethod       = 405
)

// calledFunctions are the functions that statements of a View call, also through operators and aggregates. The
// program runs its own code for them whatever the catalogue says, except for functions in SQL, whose text is
// put into the statement.
const calledFunctions = `
	array_agg array_agg_finalfn array_agg_transfn bit_xor cardinality chareq count current_setting format int24ge
	int24gt int24le int2eq int2lt int4 int42mi int42mul int48ne int4_sum int4div int4eq int4ge int4gt int4le
	int4lt int4mi int4mod int4mul int4ne int4pl int8 int84div int84eq int84ge int84gt int84lt int84mi int84ne
	int84pl int8_avg_accum int8and int8div int8eq int8ge int8gt int8inc int8larger int8le int8lt int8mi int8mul
	int8ne int8shr int8smaller int8xor isfinite jsonb_send lag left max min nameeq nameregexeq numeric numeric_add
	numeric_avg_accum numeric_eq numeric_gt numeric_mul numeric_ne numeric_poly_sum numeric_sub numeric_sum
	octet_length oideq pg_export_snapshot pg_get_expr pg_is_in_recovery pg_relation_size string_agg
	string_agg_finalfn string_agg_transfn substring sum text text_lt textcat texteq textne textregexeq tidge tidlt
	tidne timestamp_hash_extended timestamptz_eq timestamptz_ge timestamptz_larger timestamptz_le timestamptz_lt
	timestamptz_ne timestamptz_smaller timezone to_char to_hex unnest uuid_eq uuid_hash_extended uuid_lt uuid_ne`

// FunctionsCalled returns the names in calledFunctions. The value is true if PostgreSQL also comes with an SQL
// function of that name, for other arguments than ours.
func FunctionsCalled() map[string]bool {
	called := map[string]bool{}
	for _, name := range strings.Fields(calledFunctions) {
		called[name] = name == "pg_relation_size" || name == "substring"
	}
	return called
}

// oddKept bounds how many odd rows are reported.
const oddKept = 100

// catalogue collects what is odd in the catalogue.
type catalogue struct {
	view *View
	odd  []string
}

func (c *catalogue) say(format string, args ...any) {
	if len(c.odd) < oddKept {
		c.odd = append(c.odd, fmt.Sprintf(format, args...))
	}
}

// intrusion is a rule for one table of the catalogue. A row is odd if it is about PostgreSQL's own objects only,
// but the row itself, or an object that it leads to, is not PostgreSQL's own.
type intrusion struct {
	table string
	oid   uint32 // of the table itself
	// concerns and targets are columns with oids. The first of concerns MUST be of type oid.
	concerns, targets []string
	only              string   // an oid in SQL: only rows with one of values count; "" for all rows
	values            []uint32 // of only
	name              string   // in SQL, what the row is about
	says              string   // what is odd about NAME
}

func intrusions() []intrusion {
	const (
		compared = ": sorting and comparing can't be believed"
		ordered  = "how values of NAME are ordered or hashed was changed in the catalogue" + compared
	)
	return []intrusion{
		{table: "pg_type", oid: 1247, concerns: []string{"oid"}, targets: []string{"typinput", "typoutput", "typreceive", "typsend"}, name: "typname",
			says: "values of NAME are read and written by a function that does not come with PostgreSQL: it may show something else than what is stored"},
		{table: "pg_cast", oid: 2605, concerns: []string{"castsource", "casttarget"}, targets: []string{"oid", "castfunc"},
			name: "castsource::regtype::text || ' to '::text || casttarget::regtype::text",
			says: "the cast of NAME is not PostgreSQL's own: it may show something else than what is stored"},
		{table: "pg_operator", oid: 2617, concerns: []string{"oprleft", "oprright"}, targets: []string{"oid", "oprcode"},
			only: "oprnamespace", values: []uint32{catalogNamespace}, name: "oprname",
			says: "an operator NAME for PostgreSQL's own types is in the catalogue that does not come with PostgreSQL: comparing with it can't be believed"},
		{table: "pg_aggregate", oid: 2600, concerns: []string{"aggtranstype", "aggfnoid"}, targets: []string{"aggtransfn", "aggfinalfn"}, name: "aggtranstype::regtype",
			says: "an aggregate of PostgreSQL over NAME was replaced in the catalogue: counts and sums can't be believed"},
		{table: "pg_amop", oid: 2602, concerns: []string{"amopfamily", "amoplefttype", "amoprighttype"}, targets: []string{"oid", "amopopr"}, name: "amoplefttype::regtype", says: ordered},
		{table: "pg_amproc", oid: 2603, concerns: []string{"amprocfamily", "amproclefttype", "amprocrighttype"}, targets: []string{"oid", "amproc"}, name: "amproclefttype::regtype", says: ordered},
		{table: "pg_opclass", oid: 2616, concerns: []string{"opcintype"}, targets: []string{"oid", "opcfamily"},
			only: "CASE WHEN opcdefault THEN opcmethod END", values: []uint32{btreeMethod, hashMethod}, name: "opcintype::regtype",
			says: "values of NAME are ordered or hashed by an operator class that does not come with PostgreSQL" + compared},
	}
}

// Untrusted returns what in the catalogue may make our statements read something else than what is stored. Objects
// that our statements can't reach do not count: those in other schemas, or for types of extensions and users.
func (v *View) Untrusted(ctx context.Context) ([]string, error) {
	c := catalogue{view: v}
	for _, rule := range intrusions() {
		if err := c.apply(ctx, rule); err != nil {
			return c.odd, err
		}
	}
	return c.odd, c.readFunctions(ctx)
}

// apply looks for the odd rows of a rule.
func (c *catalogue) apply(ctx context.Context, rule intrusion) error {
	columns := []string{rule.concerns[0]} // the casts to oid call no function
	for _, column := range slices.Concat(rule.concerns[1:], rule.targets, []string{"coalesce(" + cmp.Or(rule.only, "0") + ", 0)"}) {
		columns = append(columns, column+"::oid")
	}
	return c.read(ctx, rule.table, rule.oid, strings.Join(columns, ", ")+", "+rule.name+"::text", func(rows pgx.Rows) error {
		oids := make([]uint32, len(columns))
		into := make([]any, len(columns), len(columns)+1)
		for i := range oids {
			into[i] = &oids[i]
		}
		var name string
		if err := rows.Scan(append(into, &name)...); err != nil {
			return err
		}
		concerns, targets, only := oids[:len(rule.concerns)], oids[len(rule.concerns):len(oids)-1], oids[len(oids)-1]
		if slices.Max(concerns) < builtIn && slices.Max(targets) >= builtIn && (rule.only == "" || slices.Contains(rule.values, only)) {
			c.say("%s", strings.ReplaceAll(rule.says, "NAME", name))
		}
		return nil
	})
}

// read reads a whole table of the catalogue. The first column MUST be a plain column of the table with that oid.
func (c *catalogue) read(ctx context.Context, table string, oid uint32, columns string, read func(pgx.Rows) error) error {
	checked := false
	return c.view.each(ctx, "read "+table, func(rows pgx.Rows) error {
		if from := rows.FieldDescriptions()[0].TableOID; !checked && from != oid {
			c.say("%s is not PostgreSQL's own table but another relation, with oid %d: nothing in it can be believed", table, from)
		}
		checked = true
		return read(rows)
	}, `SELECT `+columns+` FROM pg_catalog.`+table)
}

// readFunctions looks for added functions that may be called in place of PostgreSQL's own of the same name, and
// for PostgreSQL's own that were replaced.
func (c *catalogue) readFunctions(ctx context.Context) error {
	called := FunctionsCalled()
	own, others := map[string]bool{}, map[string]bool{}
	err := c.read(ctx, "pg_proc", 1255, `oid, proname, pronamespace, prolang, proargtypes::oid[]`, func(rows pgx.Rows) error {
		var (
			oid, namespace, language uint32
			name                     string
			args                     []uint32
		)
		if err := rows.Scan(&oid, &name, &namespace, &language, &args); err != nil {
			return err
		}
		if namespace != catalogNamespace {
			return nil
		}
		if oid >= builtIn {
			foreign := slices.ContainsFunc(args, func(arg uint32) bool { return arg >= builtIn })
			others[name] = others[name] || !foreign
			return nil
		}
		own[name] = true
		shipped, relied := called[name]
		asShipped := language == internalLanguage || language == cLanguage && !relied || language == sqlLanguage && (!relied || shipped)
		if oid < bootstrapped && !asShipped {
			c.say("PostgreSQL's own function %s was replaced in the catalogue: it may show something else than what is stored", name)
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(others)) {
		if others[name] && own[name] {
			c.say("a function %s is in the catalogue that does not come with PostgreSQL: it may be called in place of PostgreSQL's own, and show something else than what is stored", name)
		}
	}
	return err
}
