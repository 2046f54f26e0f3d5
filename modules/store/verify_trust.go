package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What a statement reads is made by functions: those that it calls, those behind its operators and casts,
// and those that send a type's values. PostgreSQL finds all of them in its catalogue, and whoever may write
// there can put others in their place: a cast of jsonb to text of one's own shows the event as it was,
// while everybody else reads it as it is.
//
// So before anything else is read, the catalogue is searched for what PostgreSQL does not come with and
// statements would still be led to. That is done here and not by the server: catalogues are read as they
// are. What is left to trust is the server's program, and that rows of the catalogue with PostgreSQL's own
// oids lead to PostgreSQL's own functions of the same purpose: who edits those, or the program, is found by
// nobody who asks this server (docs/OPERATIONS.md has the way without it).

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
	textne textregexeq tidge tidlt timestamp_hash_extended timestamptz_eq timestamptz_ge timestamptz_larger
	timestamptz_le timestamptz_lt timestamptz_ne timestamptz_smaller timezone to_char to_hex unnest uuid_eq
	uuid_hash_extended uuid_lt`

// functionsCalled tells of each name in calledFunctions whether PostgreSQL comes with one that is SQL, too: for
// other arguments than our statements give.
func functionsCalled() map[string]bool {
	called := map[string]bool{}
	for _, name := range strings.Fields(calledFunctions) {
		called[name] = name == "pg_relation_size" || name == "substring"
	}
	return called
}

// oddKept bounds how much is told of.
const oddKept = 100

// catalogue is what gathers what is odd in the catalogue.
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

// Untrusted says what in the catalogue may make statements read something else than what is stored. Only
// what reaches our statements counts: what extensions and users have made elsewhere, or for types of their
// own, does not.
func (v *View) Untrusted(ctx context.Context) ([]string, error) {
	c := catalogue{view: v, types: map[uint32]string{}}
	for _, look := range []func(context.Context) error{c.readTypes, c.readCasts, c.readFunctions, c.readOperators, c.readAggregates, c.readFamilies, c.readClasses} {
		if err := look(ctx); err != nil {
			return c.odd, err
		}
	}
	return c.odd, nil
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

func (c *catalogue) readTypes(ctx context.Context) error {
	return c.read(ctx, "pg_type", 1247, `oid, typname, typinput::oid, typoutput::oid, typreceive::oid, typsend::oid`, func(rows pgx.Rows) error {
		var (
			oid, in, out, receive, send uint32
			name                        string
		)
		if err := rows.Scan(&oid, &name, &in, &out, &receive, &send); err != nil {
			return err
		}
		if oid >= builtIn {
			return nil
		}
		c.types[oid] = name
		if max(in, out, receive, send) >= builtIn {
			c.say("values of %s are read and written by a function that PostgreSQL does not come with: they are what it says, not what is stored", name)
		}
		return nil
	})
}

// readCasts looks for casts between PostgreSQL's own types that it does not come with.
func (c *catalogue) readCasts(ctx context.Context) error {
	return c.read(ctx, "pg_cast", 2605, `oid, castsource, casttarget, castfunc`, func(rows pgx.Rows) error {
		var oid, source, target, function uint32
		if err := rows.Scan(&oid, &source, &target, &function); err != nil {
			return err
		}
		if max(source, target) < builtIn && max(oid, function) >= builtIn {
			c.say("the cast of %s to %s is none of PostgreSQL's own: whatever is read by it is what its function says, not what is stored", c.types[source], c.types[target])
		}
		return nil
	})
}

// readFunctions looks for functions that may be called in place of PostgreSQL's own of the same name, and
// for own ones that were replaced.
func (c *catalogue) readFunctions(ctx context.Context) error {
	called := functionsCalled()
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
			foreign := false
			for _, arg := range args {
				foreign = foreign || arg >= builtIn
			}
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
	for _, name := range sorted(others) {
		if others[name] && own[name] {
			c.say("a function %s that PostgreSQL does not come with is in its catalogue: it may be called in place of the one that is meant, and what is read is what it says then", name)
		}
	}
	return err
}

// readOperators looks for operators of PostgreSQL's own types that it does not come with.
func (c *catalogue) readOperators(ctx context.Context) error {
	return c.read(ctx, "pg_operator", 2617, `oid, oprname, oprnamespace, oprleft, oprright, oprcode::oid`, func(rows pgx.Rows) error {
		var (
			oid, namespace, left, right, code uint32
			name                              string
		)
		if err := rows.Scan(&oid, &name, &namespace, &left, &right, &code); err != nil {
			return err
		}
		if namespace == catalogNamespace && max(left, right) < builtIn && max(oid, code) >= builtIn {
			c.say("an operator %s of PostgreSQL's own types that it does not come with is in its catalogue: nothing that is compared by it can be believed", name)
		}
		return nil
	})
}

func (c *catalogue) readAggregates(ctx context.Context) error {
	return c.read(ctx, "pg_aggregate", 2600, `aggtranstype, aggfnoid::oid, aggtransfn::oid, aggfinalfn::oid`, func(rows pgx.Rows) error {
		var state, oid, step, final uint32
		if err := rows.Scan(&state, &oid, &step, &final); err != nil {
			return err
		}
		if oid < builtIn && max(step, final) >= builtIn {
			c.say("PostgreSQL's own aggregate with oid %d was replaced in its catalogue: what is counted and summed can't be believed", oid)
		}
		return nil
	})
}

// readFamilies looks for functions and operators that were put among those by which PostgreSQL's own types
// are ordered and hashed.
func (c *catalogue) readFamilies(ctx context.Context) error {
	for _, members := range []struct {
		table   string
		oid     uint32
		columns string
	}{
		{"pg_amop", 2602, `oid, amopfamily, amoplefttype, amoprighttype, amopopr`},
		{"pg_amproc", 2603, `oid, amprocfamily, amproclefttype, amprocrighttype, amproc::oid`},
	} {
		err := c.read(ctx, members.table, members.oid, members.columns, func(rows pgx.Rows) error {
			var oid, family, left, right, member uint32
			if err := rows.Scan(&oid, &family, &left, &right, &member); err != nil {
				return err
			}
			if max(family, left, right) < builtIn && max(oid, member) >= builtIn {
				c.say("how values of %s and %s are ordered or hashed was changed in the catalogue (%s %d): what is sorted and compared can't be believed", c.types[left], c.types[right], members.table, oid)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readClasses looks for other orders and hashes of PostgreSQL's own types that would be taken unasked.
func (c *catalogue) readClasses(ctx context.Context) error {
	return c.read(ctx, "pg_opclass", 2616, `oid, opcmethod, opcintype, opcfamily, opcdefault`, func(rows pgx.Rows) error {
		var (
			oid, method, of, family uint32
			unasked                 bool
		)
		if err := rows.Scan(&oid, &method, &of, &family, &unasked); err != nil {
			return err
		}
		if of < builtIn && unasked && max(oid, family) >= builtIn && (method == btreeMethod || method == hashMethod) {
			c.say("values of %s are ordered or hashed by an operator class that PostgreSQL does not come with: what is sorted and compared can't be believed", c.types[of])
		}
		return nil
	})
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }
