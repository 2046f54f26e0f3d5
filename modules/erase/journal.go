package erase

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/platform/files"
)

// Entry is a line of a journal: that a subject's keys were destroyed at a time.
type Entry struct {
	Shred   event.ID
	Subject protect.SubjectHash
	Keys    []protect.KeyID
	At      time.Time
}

// line is an entry as it is written: one JSON object a line.
type line struct {
	Shred   string   `json:"shred"`
	Subject string   `json:"subject"` // a keyed hash
	Keys    []string `json:"keys"`
	At      string   `json:"at"`
}

// Journal is a file outside the database that says which keys were destroyed. A backup that is restored does not know.
// Several processes may append to one file.
type Journal struct {
	path string
	mu   sync.Mutex
}

// NewJournal returns the journal in a file, or nil for no path. The file is made with the first entry.
func NewJournal(path string) *Journal {
	if path == "" {
		return nil
	}
	return &Journal{path: path}
}

// Append writes an entry. It is on the disk when Append returns. A journal that is nil keeps nothing.
func (j *Journal) Append(e Entry) (err error) {
	if j == nil {
		return nil
	}
	written := line{Shred: e.Shred.String(), Subject: e.Subject.String(), Keys: []string{}, At: event.FormatTime(e.At)}
	for _, key := range e.Keys {
		written.Keys = append(written.Keys, key.String())
	}
	text, err := json.Marshal(written)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, known := os.Stat(j.path)
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if torn, err := isTorn(f); err != nil {
		return err
	} else if torn {
		text = append([]byte{'\n'}, text...)
	}
	if _, err := f.Write(append(text, '\n')); err != nil { // one write: another process's lines are before or after it
		return err
	}
	if err := f.Sync(); err != nil || known == nil {
		return err
	}
	return files.SyncFolder(j.path)
}

// isTorn reports whether the last line was not written to its end: the process, or the machine, died over it.
func isTorn(f *os.File) (bool, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, size-1)
	return last[0] != '\n', err
}

// Read returns the journal's entries; none if there is no file yet.
func (j *Journal) Read() ([]Entry, error) {
	if j == nil {
		return nil, nil
	}
	entries, err := ReadJournal(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// maxLine bounds a journal's line.
const maxLine = 1 << 20

// ReadJournal reads a journal. A line that breaks off is none: nothing was destroyed after it. Any other line that can't be
// read is an error.
func ReadJournal(path string) (entries []Entry, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for number := 1; lines.Scan(); number++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || text[0] == '{' && text[len(text)-1] != '}' {
			continue
		}
		e, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, number, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

var errLine = errors.New("is no entry of a journal of erasures")

func parseLine(text []byte) (e Entry, err error) {
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return e, errLine
	}
	if e.Shred, err = event.ParseID(l.Shred); err != nil {
		return e, errLine
	}
	if e.At, err = event.ParseTime(l.At); err != nil {
		return e, errLine
	}
	if !parse16(l.Subject, e.Subject[:]) {
		return e, errLine
	}
	for _, text := range l.Keys {
		var key protect.KeyID
		if !parse16(text, key[:]) {
			return e, errLine
		}
		e.Keys = append(e.Keys, key)
	}
	return e, nil
}

func parse16(text string, into []byte) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && copy(into, b) == 16 && len(b) == 16
}
