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

const hashedFile = "modules/store/leaves.go"

// build compiles the program twice, as it is and without ledger hashes.
func (b *bench) build(ctx context.Context) error {
	overlay, err := overlay(ctx, b.Dir)
	if err != nil {
		return err
	}
	b.programs = map[bool]string{}
	if b.programs[true], err = b.Build(ctx, "audittrail"); err != nil {
		return err
	}
	b.programs[false], err = b.Build(ctx, "audittrail-unhashed", "-overlay", overlay)
	return err
}

// overlay writes what -overlay takes and answers its path.
func overlay(ctx context.Context, dir string) (path string, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "audittrail").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	replaced := filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(hashedFile))
	if _, err := os.Stat(replaced); err != nil {
		return "", fmt.Errorf("what is to be replaced: %w", err)
	}
	stub := filepath.Join(dir, "unhashed.go")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{replaced: stub}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(stub, unhashed, 0o600); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}
