package replay

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"audittrail/modules/event"
)

// fileSender writes NDJSON into a file of a temporary name, which gets its own at the end, if there is none of that
// name. The temporary name holds the lease, so that two never write into one file. Nothing of it is kept when the job
// stops before its end: it begins anew then.
type fileSender struct {
	root       *os.Root
	name, temp string
	file       *os.File
	zip        *gzip.Writer // nil where nothing is compressed
	out        *bufio.Writer
}

const fileBuffer = 256 << 10

const alreadyThere = "there is a file of this name already, and a replay never overwrites one"

func openFile(d destination, replay string, lease int64) (sender, error) {
	root, err := os.OpenRoot(d.folder)
	if err != nil {
		return nil, &fatal{"the folder of replay.targets can't be opened", err}
	}
	s := &fileSender{root: root, name: d.file, temp: fmt.Sprintf(".%s.%s.%d.partial", d.file, replay, lease)}
	if err := s.open(replay, lease); err != nil {
		_ = root.Close()
		return nil, err
	}
	return s, nil
}

func (s *fileSender) open(replay string, lease int64) (err error) {
	if _, err := s.root.Lstat(s.name); err == nil {
		return &fatal{alreadyThere, nil}
	}
	for earlier := lease - 1; earlier > 0; earlier-- { // what died with its process
		_ = s.root.Remove(fmt.Sprintf(".%s.%s.%d.partial", s.name, replay, earlier))
	}
	if s.file, err = s.root.OpenFile(s.temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return &fatal{"the file can't be made", err}
	}
	var to io.Writer = s.file
	if strings.HasSuffix(s.name, ".gz") {
		s.zip = gzip.NewWriter(s.file)
		to = s.zip
	}
	s.out = bufio.NewWriterSize(to, fileBuffer)
	return nil
}

func (s *fileSender) send(ctx context.Context, events []event.Stored) ([]outcome, error) {
	outcomes := make([]outcome, len(events))
	for i := range events {
		if ctx.Err() != nil {
			break
		}
		b := append(record(s.out.AvailableBuffer(), &events[i]), '\n')
		if _, err := s.out.Write(b); err != nil {
			return nil, &fatal{"the file can't be written", err}
		}
		outcomes[i] = outcome{status: sent}
	}
	return outcomes, ctx.Err()
}

// finish makes the file durable and gives it its name. Link never replaces a file.
func (s *fileSender) finish(context.Context) error {
	err := s.out.Flush()
	if err == nil && s.zip != nil {
		err = s.zip.Close()
	}
	if err = errors.Join(err, s.file.Sync(), s.file.Close()); err != nil {
		return &fatal{"the file can't be written", err}
	}
	if err := s.root.Link(s.temp, s.name); errors.Is(err, fs.ErrExist) {
		return &fatal{alreadyThere, nil}
	} else if err != nil {
		return &fatal{"the file can't be named", err}
	}
	return nil
}

func (s *fileSender) close() {
	_ = s.file.Close()
	_ = s.root.Remove(s.temp)
	_ = s.root.Close()
}
