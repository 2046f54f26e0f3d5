// Package buildinfo tells what this binary was built from, by what the Go toolchain has put into it.
package buildinfo

import "runtime/debug"

// Info is what a binary was built from. Fields that are not known are "unknown".
type Info struct {
	Version  string `json:"version"`  // the module's version: a tag, or "(devel)" where there is none
	Revision string `json:"revision"` // the commit; with "+dirty" where files had been changed
	Time     string `json:"time"`     // of the commit, RFC 3339
	Go       string `json:"go"`       // the toolchain's release
	Platform string `json:"platform"` // as "linux/amd64"
}

const unknown = "unknown"

// Read reads what the toolchain has put into the running binary.
func Read() Info {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{unknown, unknown, unknown, unknown, unknown}
	}
	return from(b)
}

func from(b *debug.BuildInfo) Info {
	settings := map[string]string{}
	for _, s := range b.Settings {
		settings[s.Key] = s.Value
	}
	revision := or(settings["vcs.revision"])
	if settings["vcs.modified"] == "true" {
		revision += "+dirty"
	}
	platform := unknown
	if settings["GOOS"] != "" {
		platform = settings["GOOS"] + "/" + settings["GOARCH"]
	}
	return Info{
		Version:  or(b.Main.Version),
		Revision: revision,
		Time:     or(settings["vcs.time"]),
		Go:       or(b.GoVersion),
		Platform: platform,
	}
}

func or(s string) string {
	if s == "" {
		return unknown
	}
	return s
}
