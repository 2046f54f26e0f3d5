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

// What a statement reads is made by functions: those that it calls, those behind its operators and casts,
// and those that send a type's values. PostgreSQL finds all of them in its catalogue. Whoever may write there
// can put others in their place: a cast of jsonb to text of one's own shows the event as it was, while
// everybody else reads it as it is.
//
// So before anything else is read, the catalogue is searched for what PostgreSQL does not come with and
// statements would still be led to. That is done here and not by the server: catalogues are read as they
// are. What is left to trust is the server's program, and that rows of the catalogue with PostgreSQL's own
// oids lead to PostgreSQL's own functions of the same purpose. Nobody who asks this server finds out that
// those rows, or the program, were edited (docs/OPERATIONS.md has the way without it).

const (
	// builtIn is below the oids of all that users make.
	builtIn = 16384
	// bootstrapped is below the oids that PostgreSQL's program knows its own functions by.
	bootstrapped = 10000

	catalogNamespace = 11
	internalLanguage = 12
	cLanguage        = 13
	sqlLanguage      = 14
	btreeMethod      = 403
	hashMethod       = 405
)

// calledFunctions are what statements of a View call, by operators and aggregates too. The program runs its
// own functions whatever the catalogue says of them, but for those that the catalogue has as SQL: they are
// put into the statement.
const calledFunctions = `
	bit_xor chareq count current_setting format int24ge int24gt int24le int2eq int2lt int4 int42mi int42mul
	int48ne int4_sum int4div int4eq int4ge int4gt int4le int4lt int4mi int4mod int4mul int4pl int8 int84div
	int84eq int84ge int84gt int84lt int84mi int84ne int84pl int8_avg_accum int8and int8div int8eq int8ge int8gt
	int8inc int8larger int8le int8lt int8mi int8mul int8ne int8shr int8smaller int8xor isfinite jsonb_send lag
	left max min nameeq nameregexeq numeric numeric_add numeric_avg_accum numeric_eq numeric_gt numeric_mul
	numeric_ne numeric_poly_sum numeric_sub numeric_sum octet_length oideq pg_export_snapshot pg_get_expr
	pg_is_in_recovery pg_relation_size string_agg string_agg_finalfn string_agg_transfn substring sum text text_lt textcat texteq
	textne textregexeq tidge tidlt tidne timestamp_hash_extended timestamptz_eq timestamptz_ge timestamptz_larger
	timestamptz_le timestamptz_lt timestamptz_ne timestamptz_smaller timezone to_char to_hex unnest uuid_eq
	uuid_hash_extended uuid_lt uuid_ne`

// FunctionsCalled tells of each name in calledFunctions whether PostgreSQL comes with one that is SQL, too: for
// other arguments than our statements give.
func FunctionsCalled() map[string]bool {
	called := map[string]bool{}
	for _, name := range strings.Fields(calledFunctions) {
		called[name] = name == "pg_relation_size" || name == "substring"
	}
	return called
}

// oddKept bounds how much is told of.
const oddKept = 100

// catalogue gathers what is odd in the catalogue.
type catalogue struct {
	view  *View
	types map[uint32]string // names of PostgreSQL's own
	odd   []string
}

func (c *catalogue) say(format string, args ...any) {
	if len(c.odd) < oddKept {
		c.odd = append(c.odd, fmt.Sprintf(format, args...))
	}
}

// intrusion is a rule for one catalogue: a row is odd if it concerns PostgreSQL's own objects only, and
// itself or what it leads to is none of PostgreSQL's own.
type intrusion struct {
	table string
	oid   uint32 // of the table itself
	// concerns and leads are columns with oids. The first of concerns MUST be of type oid.
	concerns, leads []string
	of              string   // a column with an oid: only rows with one of these values count; "" for all rows
	values          []uint32 // of the column of
	flag            string   // a boolean column: only rows count that have it; "" for all rows
	name            string   // the column that names a row; "" for the names of the types in concerns
	says            string   // what is odd about NAME
}

func intrusions() []intrusion {
	const (
		compared = ": what is sorted and compared can't be believed"
		ordered  = "how values of NAME are ordered or hashed was changed in the catalogue" + compared
	)
	return []intrusion{
		{table: "pg_type", oid: 1247, concerns: []string{"oid"}, leads: []string{"typinput", "typoutput", "typreceive", "typsend"}, name: "typname",
			says: "values of NAME are read and written by a function that PostgreSQL does not come with: they are what it says, not what is stored"},
		{table: "pg_cast", oid: 2605, concerns: []string{"castsource", "casttarget"}, leads: []string{"oid", "castfunc"},
			says: "the cast of NAME is none of PostgreSQL's own: whatever is read by it is what its function says, not what is stored"},
		{table: "pg_operator", oid: 2617, concerns: []string{"oprleft", "oprright"}, leads: []string{"oid", "oprcode"},
			of: "oprnamespace", values: []uint32{catalogNamespace}, name: "oprname",
			says: "an operator NAME of PostgreSQL's own types that it does not come with is in its catalogue: nothing that is compared by it can be believed"},
		{table: "pg_aggregate", oid: 2600, concerns: []string{"aggtranstype", "aggfnoid"}, leads: []string{"aggtransfn", "aggfinalfn"},
			says: "an aggregate of PostgreSQL's own over NAME was replaced in its catalogue: what is counted and summed can't be believed"},
		{table: "pg_amop", oid: 2602, concerns: []string{"amopfamily", "amoplefttype", "amoprighttype"}, leads: []string{"oid", "amopopr"}, says: ordered},
		{table: "pg_amproc", oid: 2603, concerns: []string{"amprocfamily", "amproclefttype", "amprocrighttype"}, leads: []string{"oid", "amproc"}, says: ordered},
		{table: "pg_opclass", oid: 2616, concerns: []string{"opcintype"}, leads: []string{"oid", "opcfamily"},
			of: "opcmethod", values: []uint32{btreeMethod, hashMethod}, flag: "opcdefault",
			says: "values of NAME are ordered or hashed by an operator class that PostgreSQL does not come with" + compared},
	}
}

// Untrusted returns what in the catalogue may make statements read something else than what is stored. Only
// what reaches our statements counts: what extensions and users have made elsewhere, or for types of their
// own, does not.
func (v *View) Untrusted(ctx context.Context) ([]string, error) {
	c := catalogue{view: v, types: map[uint32]string{}}
	for _, rule := range intrusions() { // pg_type first: it has the types' names
		if err := c.apply(ctx, rule); err != nil {
			return c.odd, err
		}
	}
	return c.odd, c.readFunctions(ctx)
}

// apply looks for rows of a catalogue that a rule is about.
func (c *catalogue) apply(ctx context.Context, rule intrusion) error {
	columns := []string{rule.concerns[0]} // the casts to oid call no function
	for _, column := range slices.Concat(rule.concerns[1:], rule.leads) {
		columns = append(columns, column+"::oid")
	}
	oids := make([]uint32, len(columns), len(columns)+1)
	columns = append(columns, cmp.Or(rule.of, "0")+"::oid", cmp.Or(rule.flag, "true"), cmp.Or(rule.name, "''::name"))
	return c.read(ctx, rule.table, rule.oid, strings.Join(columns, ", "), func(rows pgx.Rows) error {
		var (
			targets []any
			of      uint32
			flag    bool
			name    string
		)
		for i := range oids {
			targets = append(targets, &oids[i])
		}
		if err := rows.Scan(append(targets, &of, &flag, &name)...); err != nil {
			return err
		}
		concerns, leads := oids[:len(rule.concerns)], oids[len(rule.concerns):]
		if slices.Max(concerns) >= builtIn {
			return nil
		}
		if rule.table == "pg_type" {
			c.types[oids[0]] = name
		}
		if slices.Max(leads) < builtIn || !flag || rule.of != "" && !slices.Contains(rule.values, of) {
			return nil
		}
		c.say("%s", strings.ReplaceAll(rule.says, "NAME", cmp.Or(name, c.typeNames(rule, concerns))))
		return nil
	})
}

// typeNames returns the names of the types among what a row concerns.
func (c *catalogue) typeNames(rule intrusion, oids []uint32) string {
	var names []string
	for i, column := range rule.concerns {
		if strings.Contains(column, "type") || strings.HasPrefix(column, "cast") {
			names = append(names, c.types[oids[i]])
		}
	}
	return strings.Join(names, " to ")
}

// read reads a whole catalogue, whose first column MUST be one of the table with that oid, itself.
func (c *catalogue) read(ctx context.Context, table string, oid uint32, columns string, read func(pgx.Rows) error) error {
	checked := false
	return c.view.each(ctx, "read "+table, func(rows pgx.Rows) error {
		if from := rows.FieldDescriptions()[0].TableOID; !checked && from != oid {
			c.say("%s is not PostgreSQL's own catalogue but another relation, with oid %d: nothing that it says can be believed", table, from)
		}
		checked = true
		return read(rows)
	}, `SELECT `+columns+` FROM pg_catalog.`+table)
}

// readFunctions looks for functions that may be called in place of PostgreSQL's own of the same name, and
// for own ones that were replaced.
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
			c.say("PostgreSQL's own function %s was replaced in its catalogue: what is read by it is what somebody else's says", name)
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(others)) {
		if others[name] && own[name] {
			c.say("a function %s that PostgreSQL does not come with is in its catalogue: it may be called in place of the one that is meant, and what is read is what it says then", name)
		}
	}
	return err
}
