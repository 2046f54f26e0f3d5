// Command audittrail stores business events from Kafka in an append-only PostgreSQL event store and
// serves their history over HTTP. Everything is in package cmd.
package main

import "audittrail/cmd"

func main() { cmd.Execute() }
