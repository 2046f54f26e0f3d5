package config

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// setting is the value that one layer gives to a key, in a flag's spelling.
type setting struct {
	text   string
	origin Origin
}

// maxSecretFile bounds what is read of a file that a _FILE variable names: it may name a device.
const maxSecretFile = 1 << 20

// injected are the names that Kubernetes sets in every pod for a Service called audittrail or
// audittrail-something. They are nobody's typing error.
var injected = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_.*)$`)

// readEnv finds the keys among "NAME=value" strings. An empty variable counts as not set, since
// container tools can't leave one out: it neither overrides the file nor collides with its _FILE twin.
func (s *Schema) readEnv(environ []string) (map[string]setting, []error) {
	found, errs := map[string]setting{}, []error(nil)
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, s.prefix) || name == s.Env(ConfigKey) {
			continue
		}
		origin := Origin{Kind: Env, Name: name}
		i, plain := s.byEnv[name]
		if !plain {
			var file bool
			if i, file = s.byFile[name]; !file {
				if !injected.MatchString(name) {
					errs = append(errs, s.unknownEnv(name))
				}
				continue
			}
		}
		if text == "" {
			continue
		}
		key := s.keys[i].Name
		if other, twice := found[key]; twice {
			errs = append(errs, fmt.Errorf("%s is set by both %s and %s; set only one", key, other.origin.Name, name))
			continue
		}
		if !plain {
			var err error
			origin.Path = text
			if text, err = readSecret(text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", key, name, err))
				continue
			}
		}
		found[key] = setting{text, origin}
	}
	return found, errs
}

// unknownEnv suggests the variable nearest to name. The prefix, which all share, would make any two of
// them look alike.
func (s *Schema) unknownEnv(name string) error {
	var names []string
	for i := range s.keys {
		own := strings.TrimPrefix(s.Env(s.keys[i].Name), s.prefix)
		names = append(names, own)
		if s.keys[i].Secret != Open {
			names = append(names, own+fileSuffix)
		}
	}
	hint := ""
	if nearest := Nearest(strings.TrimPrefix(name, s.prefix), names); nearest != "" {
		hint = ", did you mean " + s.prefix + nearest + "?"
	}
	return fmt.Errorf("environment variable %s is not known%s", name, hint)
}

// readSecret is the content of a file without the newline that editors put at its end.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecretFile {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	text := strings.TrimSuffix(string(b), "\n")
	text = strings.TrimSuffix(text, "\r")
	if text == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return text, nil
}
