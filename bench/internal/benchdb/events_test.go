package benchdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	const text = `{"aggregateId":"b","eventId":"1"}` + "\n" + `{"eventId":"2","aggregateId":"a"}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := File(path)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if string(records[0].Key) != "b" || string(records[1].Key) != "a" || string(records[1].Value) != strings.Split(text, "\n")[1] {
		t.Errorf("%v", records)
	}
	for name, text := range map[string]string{"cut": `{"aggregateId":"b"}` + "\n{", "long": strings.Repeat(" ", 2<<20)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := File(path); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := File(path + ".gz"); err == nil {
		t.Error("no file: no error")
	}
}
