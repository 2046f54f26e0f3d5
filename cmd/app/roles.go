package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"audittrail/modules/maintain"
	"audittrail/platform/config"
	"audittrail/platform/lifecycle"
	"audittrail/platform/postgres"
)

// table is what runs where, with which rights: a role a row, in the order in which they start. They stop in
// its reverse. Each role gets what its row says, and nothing else: only what a chosen role needs is opened.
//
// A pool's Role is the database role that it works under, and its Name is how PostgreSQL and the metrics tell
// it from others. Only the login itself, "", may end other processes' transactions, and only the owner may keep
// indexes in shape. Ingest has three connections beside its workers: for offsets, dead letters and health. What
// is appended, signed and erased must not be lost by a crash, hence DurableCommits. The number behind the pools says how
// many connections leave them for good: those that hold a lead, and the API's that listens. The last column are the pools to
// the database of the keys of sealed values (opensKeys).
func table(c Config) []role {
	conns := c.Postgres.MaxConns
	return []role{
		{"ingest", needs{kafka: true, keyring: true}, ingestRole, []postgres.PoolOptions{
			{Name: "ingest", Role: "audittrail_ingest", MaxConns: max(conns, c.Ingest.Workers+3), LockTimeout: stall, IdleInTransactionTimeout: stall, DurableCommits: true},
			{Name: "breaker", Role: "", MaxConns: 2, StatementTimeout: stall},
			{Name: "reconcile", Role: "audittrail_ingest", MaxConns: 1, LockTimeout: stall, IdleInTransactionTimeout: stall, Parameters: onlyReading()},
		}, 2, []postgres.PoolOptions{keyPool("audittrail_ingest")}},
		{"api", needs{tokens: true, listens: true, keyring: true}, apiRole, []postgres.PoolOptions{
			apiPool(conns),
			{Name: "access", Role: "audittrail_api", MaxConns: 2, LockTimeout: stall, StatementTimeout: stall, DurableCommits: true},
		}, 1, []postgres.PoolOptions{keyPool("audittrail_api")}},
		{"replay", needs{kafka: true, keyring: true}, replayRole, []postgres.PoolOptions{
			{Name: "replay", Role: "audittrail_replay", MaxConns: 8, LockTimeout: stall, IdleInTransactionTimeout: stall, StatementTimeout: 30 * time.Second, Parameters: inOrder()},
			{Name: "redrive", Role: "audittrail_replay", MaxConns: 3, LockTimeout: stall, IdleInTransactionTimeout: stall, DurableCommits: true},
		}, 1, []postgres.PoolOptions{keyPool("audittrail_replay")}},
		{"analytics", needs{}, analyticsRole, []postgres.PoolOptions{
			{Name: "analytics", Role: "audittrail_analytics", MaxConns: 2, LockTimeout: stall, StatementTimeout: 30 * time.Second, Parameters: rebuildable()},
		}, 1, nil},
		{"maintain", needs{}, maintainRole, []postgres.PoolOptions{
			{Name: "maintain", Role: "audittrail_maintain", MaxConns: 2, LockTimeout: stall, DurableCommits: true},
			{Name: "maintain-owner", Role: "audittrail_owner", MaxConns: 2, LockTimeout: maintain.OwnerLockTimeout},
		}, 2, []postgres.PoolOptions{
			{Name: "keys", Role: "audittrail_maintain", MaxConns: 2, LockTimeout: stall, StatementTimeout: stall, DurableCommits: true},
			{Name: "keys-owner", Role: "audittrail_owner", MaxConns: 1, LockTimeout: stall, DurableCommits: true},
		}},
		{"notary", needs{signer: true}, notaryRole, []postgres.PoolOptions{
			{Name: "notary", Role: "audittrail_notary", MaxConns: 2, LockTimeout: stall, StatementTimeout: 30 * time.Second, DurableCommits: true},
		}, 1, nil},
	}
}

// apiPool is what the API reads by, from the primary and from each replica.
func apiPool(conns int) postgres.PoolOptions {
	return postgres.PoolOptions{Name: "api", Role: "audittrail_api", MaxConns: conns, LockTimeout: stall, StatementTimeout: 10 * time.Second, Parameters: inOrder()}
}

// keyPool is what a role that seals or opens values reads and makes subjects' keys by.
func keyPool(role string) postgres.PoolOptions {
	return postgres.PoolOptions{Name: "keys", Role: role, MaxConns: 4, LockTimeout: stall, StatementTimeout: stall, DurableCommits: true}
}

// stall bounds how long a stalled process can hold what others wait for.
const stall = 5 * time.Second

// inOrder are settings that lists rely on: Append keeps its order, so there are no parallel workers.
func inOrder() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0"}
}

// onlyReading are the settings of what reads all of it beside other work.
func onlyReading() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0", "default_transaction_read_only": "on"}
}

// rebuildable are the settings of what can be made again: it never waits for the disk.
func rebuildable() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0", "synchronous_commit": "off"}
}

// role is a row of the table.
type role struct {
	name  string
	needs needs
	build func(context.Context, *parts, pools) (lifecycle.Role, error)
	pools []postgres.PoolOptions // the first one's role also asks whether the schema fits
	apart int                    // connections that leave the pools for good
	keys  []postgres.PoolOptions // to the database of the keys of sealed values
}

// opensKeys reports whether the configuration has the role open its pools to the keys: those that seal or open values do
// where encryption is configured, maintain only where keys are in a database of their own.
func (r role) opensKeys(c Config) bool {
	return r.needs.keyring && c.Encryption.Enabled() || !r.needs.keyring && c.Encryption.KeysURL != ""
}

// connections returns how many connections to the database of postgres.url the role may have at once. A keyring has one
// beside its pool, which hears of destroyed keys.
func (r role) connections(c Config) int {
	n, own := r.apart, r.pools
	if r.needs.keyring && r.opensKeys(c) && c.Encryption.KeysURL == "" {
		n++
		own = slices.Concat(own, r.keys)
	}
	for _, o := range own {
		n += o.MaxConns
	}
	return n
}

// needs are the parts that a role can't work without, beside its pools.
type needs struct {
	kafka   bool // brokers and topics
	tokens  bool // somebody who issues tokens
	signer  bool // keys to sign with
	listens bool // has a listener of its own, which /startupz waits for
	keyring bool // keys of sealed values, where encryption is configured
}

// keys are the configuration keys that must have a value.
func (n needs) keys() []string {
	keys := []string{"postgres.url"}
	if n.kafka {
		keys = append(keys, "kafka.brokers", "kafka.topics")
	}
	if n.signer {
		keys = append(keys, "ledger.origin", "ledger.signing_key")
	}
	return keys
}

// chosen are the configuration's roles, in the table's order.
func chosen(c Config) []role {
	return slices.DeleteFunc(table(c), func(r role) bool { return !slices.Contains(c.Roles, r.name) })
}

func roleNames() []string {
	var out []string
	for _, r := range table(Config{}) {
		out = append(out, r.name)
	}
	return out
}

func suggestRole(name string) string {
	if best := config.Nearest(name, roleNames()); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// merge makes one list of problems out of several.
func merge(all ...error) error {
	var problems []error
	for _, err := range all {
		var one *config.Error
		switch {
		case errors.As(err, &one):
			problems = append(problems, one.Problems...)
		case err != nil:
			return err
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &config.Error{Problems: problems}
}
