package client

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotABundle = errors.New("the answer is no evidence bundle")

// CopyBundle copies an evidence bundle while it arrives, of any length, and makes sure that it is whole:
// JSON from its beginning to its end, so that a cut one is an error whatever a proxy made of the cut. It
// proves nothing. each is called for every entry that has passed; dst has got all of what was read when
// CopyBundle returns.
func CopyBundle(dst io.Writer, src io.Reader, each func()) error {
	d := jsontext.NewDecoder(io.TeeReader(src, dst), jsontext.AllowDuplicateNames(true))
	if err := walkBundle(d, each); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the API's answer was cut off at byte %d; it is of no use", d.InputOffset())
		}
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.Join(errNotABundle, err)
	}
	return nil
}

func walkBundle(d *jsontext.Decoder, each func()) error {
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return otherwise(err)
	}
	entries := false
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if name.String() == "entries" && d.PeekKind() == '[' {
			entries = true
			if err := walkEntries(d, each); err != nil {
				return err
			}
			continue
		}
		if err := d.SkipValue(); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if !entries {
		return errNotABundle
	}
	return nil
}

func walkEntries(d *jsontext.Decoder, each func()) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		each()
	}
	_, err := d.ReadToken()
	return err
}

func otherwise(err error) error {
	if err != nil {
		return err
	}
	return errNotABundle
}
