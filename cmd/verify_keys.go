package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/platform/console"
)

// maxKeyFile is how long a file of keys may be, in bytes; a hundred keys take less.
const maxKeyFile = 64 << 10

// readVerifierKeys reads what --key was given: each a key, or the name of a file of keys.
func readVerifierKeys(ctx context.Context, given []string) (ledger.Keys, error) {
	texts := make([]string, len(given))
	for i, k := range given {
		texts[i] = k
		if k == "" {
			return ledger.Keys{}, wrongUsage("--key is empty: give the log's public key, or the name of a file that holds it")
		}
		if ledger.IsKeyText(k) {
			continue
		}
		text, err := readKeyFile(ctx, k)
		if ctx.Err() != nil {
			return ledger.Keys{}, errors.New("interrupted")
		}
		if err != nil {
			return ledger.Keys{}, noKeyFile(k, err)
		}
		texts[i] = text
	}
	keys, err := ledger.ParseKeys(texts...)
	if err != nil {
		return ledger.Keys{}, wrongUsage("--key: %w", err)
	}
	return keys, nil
}

// likeKey is what a key has in it, and hardly a file's name: its id, its first word, or its last part.
var likeKey = regexp.MustCompile(`[+][0-9A-Fa-f]{8}[+]|(?i:key)[+]|A[Q-Za-f][0-9A-Za-z+/]{42}$`)

// noKeyFile says why a value of --key is neither a key nor a file. What may be a key by its looks is not
// shown: it may be a private one that was cut.
func noKeyFile(given string, err error) error {
	const neither = "--key is neither a key (<name>+<8 hexadecimal digits>+<base64>) nor a file that can be read: "
	var inPath *fs.PathError
	switch {
	case strings.ContainsAny(given, "\r\n"):
		return wrongUsage(neither + "it has several lines; to give several keys, name the file that holds them, or repeat --key")
	case likeKey.MatchString(given) && errors.As(err, &inPath):
		return wrongUsage(neither+"it is not shown, since it looks like a key: %w", inPath.Err)
	case likeKey.MatchString(given):
		return wrongUsage(neither + "it is not shown, since it looks like a key")
	}
	return wrongUsage(neither+"%w", err)
}

func readKeyFile(ctx context.Context, name string) (string, error) {
	f, err := console.OpenFile(ctx, name)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxKeyFile {
		return "", fmt.Errorf("%s is longer than any file of keys", name)
	}
	return string(text), nil
}
