// Package devstack starts what the program needs, on this machine and inside this process's life: a
// PostgreSQL server, a Kafka broker, keys that sign tokens, and the folder that keeps their data. It
// is for `audittrail dev` and for tests; nothing in production uses it.
//
// All of it listens on 127.0.0.1 only, and ends with the process, however that ends.
package devstack
