package dev

import "audittrail/platform/devstack"

// The data folder's parts.
const (
	partKafka       = "kafka"
	partPostgres    = "postgres"
	partKeys        = "keys"
	partToken       = "token"        // a file of mode 0600
	partPostgresURL = "postgres-url" // likewise, since it holds the password

	partSigningKey   = "ledger-signing-key" // a file of mode 0600
	partVerifierKeys = "verifier-keys.txt"  // public
	partNotary       = "notary.json"        // what the notary has signed

	partKEK     = "encryption-kek-url" // a file of mode 0600: a key-encryption key, for local work
	partJournal = "erasures.jsonl"     // who was erased, as hashes
)

func openFolder(dir string) (*devstack.Folder, error) {
	return devstack.OpenFolder(devstack.FolderOptions{
		Dir: dir,
		Parts: []string{partKafka, partPostgres, partKeys, partToken, partPostgresURL,
			partSigningKey, partVerifierKeys, partNotary, partKEK, partJournal},
		Before: []string{partNotary}, // it lies in .audittrail by default, and says nothing about the rest
	})
}
