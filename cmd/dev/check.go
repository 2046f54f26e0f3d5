package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// checkPorts finds a port that is taken before a database was started for nothing. All are held at once,
// so that two keys with one port are found too; who takes one between now and the listeners' own start
// is found there.
func (s *stack) checkPorts(ctx context.Context) (err error) {
	addrs := [][2]string{{"admin.addr", s.Config.Admin.Addr}}
	if slices.Contains(s.Config.Roles, "api") {
		addrs = append(addrs, [2]string{"http.addr", s.Config.HTTP.Addr})
	}
	for _, a := range addrs {
		l, failed := new(net.ListenConfig).Listen(ctx, "tcp", a[1])
		if failed != nil {
			return errors.Join(err, fmt.Errorf("%s: %w", a[0], failed))
		}
		defer func() { err = errors.Join(err, l.Close()) }()
	}
	return nil
}

// embeddedParts are the parts of the folder in which this run keeps history: broker and database know of
// each other's, and the notary of the database's.
func (s *stack) embeddedParts() (parts []string) {
	if !s.Config.IsSet("kafka.brokers") {
		parts = append(parts, partKafka)
	}
	if s.embeds {
		parts = append(parts, partPostgres)
	}
	return parts
}

// checkFolder refuses a folder of which a part was deleted that an earlier start had made. A new broker's
// topics are others under old names, which stops their ingest, and a new database lacks what was signed.
func (s *stack) checkFolder() error {
	made, err := s.folder.Kept()
	if err != nil {
		return err
	}
	var missing []string
	for _, part := range s.embeddedParts() {
		if _, err := os.Stat(s.folder.Path(part)); slices.Contains(made, part) && errors.Is(err, os.ErrNotExist) {
			missing = append(missing, part)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("data folder %s: %s was deleted, and the rest of the folder can't go on without; "+
		"put it back, or begin anew with --fresh, which deletes the rest", s.folder.Dir(), strings.Join(missing, " and "))
}

// recordParts notes what the folder holds from this start on.
func (s *stack) recordParts() error { return s.folder.Keep(s.embeddedParts()...) }
