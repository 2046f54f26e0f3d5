package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// unhashed takes the place of the file that computes leaves. Hashing can't be switched off in the
// program: what is compared is another program, built with this file by `go build -overlay`.
//
//go:embed unhashed.go.txt
var unhashed []byte

const hashedFile = "modules/store/append_leaves.go"

// build compiles this program twice, as it is and without ledger hashes, and answers where they are.
func build(ctx context.Context, dir string) (programs map[bool]string, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "audittrail").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	replaced := filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(hashedFile))
	if _, err := os.Stat(replaced); err != nil {
		return nil, fmt.Errorf("what is to be replaced: %w", err)
	}
	stub, overlay := filepath.Join(dir, "unhashed.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{replaced: stub}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(stub, unhashed, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return nil, err
	}
	programs = map[bool]string{}
	for hashed, flags := range map[bool][]string{true: nil, false: {"-overlay", overlay}} {
		programs[hashed] = programPath(dir, hashed)
		args := append([]string{"build", "-o", programs[hashed]}, flags...)
		if out, err := exec.CommandContext(ctx, "go", append(args, "audittrail/bench/ledger")...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return programs, nil
}
