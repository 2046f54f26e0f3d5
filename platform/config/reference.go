package config

import (
	"fmt"
	"strings"
)

// Reference is a Markdown table of all keys, a heading for each section.
func (s *Schema) Reference() string {
	var b strings.Builder
	section := "\x00"
	for i := range s.keys {
		k := &s.keys[i]
		top, _, nested := strings.Cut(k.Name, ".")
		if !nested {
			top = ""
		}
		if top != section {
			section = top
			title := "`" + top + "`"
			if top == "" {
				title = "The program"
			}
			fmt.Fprintf(&b, "\n### %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.TypeText(), defaultCell(k.Default), cell(k.Help))
	}
	return b.String()
}

// TypeText is the key's type as reference and help tell it.
func (k Key) TypeText() string {
	t := typeName(k.typ)
	if k.Secret != Open {
		t += ", secret"
	}
	return t
}

func defaultCell(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
