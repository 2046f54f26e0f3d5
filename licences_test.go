package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed are licences under which the program may be given away, by words that stand in all of their texts.
var allowed = map[string]string{
	"MIT":        "Permission is hereby granted, free of charge, to any person obtaining a copy",
	"BSD":        "Redistribution and use in source and binary forms, with or without modification, are permitted",
	"Apache-2.0": "Apache License Version 2.0, January 2004",
	"MPL-2.0":    "Mozilla Public License", // of files that we don't change: their source has to be named, which go.mod does
	"ISC":        "Permission to use, copy, modify, and/or distribute this software for any purpose",
	"PostgreSQL": "Permission to use, copy, modify, and distribute this software and its documentation for any purpose",
}

// byHand are modules whose licence has no text of its own, with what they say instead.
var byHand = map[string]string{
	"github.com/xi2/xz": "public domain",
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([.-].*)?$`)

// TestLicences reads the licence of every module that the program is built from: none may ask for more than a notice.
func TestLicences(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Module", ".").Output()
	require.NoError(t, err)
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *struct{ Path, Dir string } }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if p.Module == nil || seen[p.Module.Path] { // nil: the standard library
			continue
		}
		seen[p.Module.Path] = true
		require.NotEmpty(t, p.Module.Dir, "go mod download %s", p.Module.Path)
		if licence(t, p.Module.Path, p.Module.Dir) == "" {
			t.Errorf("%s: no licence that is allowed; read it, and add it to this file if it asks for a notice alone", p.Module.Path)
		}
	}
	require.Greater(t, len(seen), 20)
}

// licence names the licence of a module; "" where none is known.
func licence(t *testing.T, path, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		if !licenceFile.MatchString(f.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		text := strings.Join(strings.Fields(string(content)), " ")
		for name, words := range allowed {
			if strings.Contains(text, words) {
				return name
			}
		}
		if words, ok := byHand[path]; ok && strings.Contains(text, words) {
			return words
		}
	}
	return ""
}
