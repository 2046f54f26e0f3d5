//go:build !linux

package devstack

// inMemory returns "": only Linux has a folder in memory that everybody may use.
func inMemory() string { return "" }
