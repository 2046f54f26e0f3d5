package client

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// CopyBundle copies an evidence bundle of the log of events while it arrives, of any length, and makes sure
// that it is whole and has a bundle's form (docs/EVIDENCE.md, section 5): JSON from its beginning to its
// end, so that a cut one is an error whatever a proxy made of the cut; the members of a bundle, once each;
// and an object for each entry. It proves nothing. each is called for every entry that has passed; dst has
// got all of what was read when CopyBundle returns. It holds one entry at a time, of ledger.MaxEntry at
// most.
func CopyBundle(dst io.Writer, src io.Reader, each func()) error {
	from := &copying{src: src, dst: dst}
	meter := ledger.NewMeteredReader(from)
	b := bundleCopy{meter: meter, d: jsontext.NewDecoder(meter, jsontext.AllowDuplicateNames(true)), each: each}
	err := b.run()
	if err == nil {
		return nil
	}
	where := fmt.Sprintf("at byte %d", b.d.InputOffset())
	if failure := from.failure(where); failure != nil {
		return failure
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return cutOff(where)
	case ledger.TooLarge(err):
		return notABundle("what stands behind entry %d is larger than any entry can be", b.entries)
	case errors.As(err, &syntax):
		return notABundle("it is no JSON from byte %d on", syntax.ByteOffset)
	}
	return err
}

func notABundle(format string, args ...any) error {
	return fmt.Errorf("the API's answer is no evidence bundle: "+format, args...)
}

// bundleCopy walks through a bundle from its beginning to its end.
type bundleCopy struct {
	meter   *ledger.MeteredReader
	d       *jsontext.Decoder
	each    func()
	entries int64
}

func (b *bundleCopy) run() error {
	if err := b.begin('{', "it is no object"); err != nil {
		return err
	}
	if err := b.head(); err != nil {
		return err
	}
	if err := b.list(); err != nil {
		return err
	}
	b.meter.Next()
	if token, err := b.d.ReadToken(); err != nil {
		return err
	} else if token.Kind() != '}' {
		return notABundle("something stands behind its entries")
	}
	switch _, err := b.d.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return notABundle("something follows it")
}

// begin reads the token that something begins with.
func (b *bundleCopy) begin(kind jsontext.Kind, otherwise string) error {
	token, err := b.d.ReadToken()
	if err == nil && token.Kind() != kind {
		err = notABundle("%s", otherwise)
	}
	return err
}

// head reads the members before the entries, and the entries' name.
func (b *bundleCopy) head() error {
	texts := map[string]string{}
	for {
		b.meter.Next()
		token, err := b.d.ReadToken()
		switch {
		case err != nil:
			return err
		case token.Kind() == '}':
			return notABundle("it has no entries")
		}
		name := token.String()
		if name == "entries" {
			return checkHead(texts)
		}
		if _, twice := texts[name]; twice || name != "format" && name != "log" && name != "checkpoint" {
			return notABundle("it has a member that stands twice, or is none of a bundle's")
		}
		if token, err = b.d.ReadToken(); err != nil {
			return err
		}
		if token.Kind() != '"' {
			return notABundle("its %s is no text", name)
		}
		texts[name] = token.String()
	}
}

// checkHead looks at all but the checkpoint's signature, for which no key is there.
func checkHead(texts map[string]string) error {
	for _, name := range []string{"format", "log", "checkpoint"} {
		if _, ok := texts[name]; !ok {
			return notABundle("it has no %s before its entries", name)
		}
	}
	if texts["format"] != ledger.BundleFormat {
		return notABundle("its format is not %s, which this program knows", ledger.BundleFormat)
	}
	if texts["log"] != string(ledger.Events) {
		return notABundle("it is not of the log of events")
	}
	_, err := ledger.OpenCheckpoint([]byte(texts["checkpoint"]), ledger.Keys{})
	var refused *ledger.CheckpointError
	if errors.As(err, &refused) && refused.Kind != ledger.UnknownKey { // without a key none is known
		return notABundle("%s", refused.Error())
	}
	return nil
}

// list reads the entries.
func (b *bundleCopy) list() error {
	if err := b.begin('[', "its entries are no list"); err != nil {
		return err
	}
	for {
		kind := b.d.PeekKind()
		if kind == ']' || kind == 0 { // 0 is an error, which reading has
			_, err := b.d.ReadToken()
			return err
		}
		if kind != '{' {
			return notABundle("entry %d is no object", b.entries+1)
		}
		b.meter.Next()
		if err := b.d.SkipValue(); err != nil {
			return err
		}
		b.entries++
		b.each()
	}
}
