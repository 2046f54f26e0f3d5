package publish

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// check judges lines, and lists what it was told of.
func check(t *testing.T, in []byte) (Tally, []string) {
	t.Helper()
	var told []string
	tally, err := Check(t.Context(), bytes.NewReader(in), event.DefaultRules(), func(line int64, why *event.Rejected) error {
		told = append(told, fmt.Sprintf("%d %s %s", line, why.Reason, why.Field))
		return nil
	})
	require.NoError(t, err)
	return tally, told
}

// Each line is judged as ingest judges the record, whatever surrounds it.
func TestCheckJudgesAsIngestDoes(t *testing.T) {
	var file bytes.Buffer
	var want []string
	n := 0
	for _, c := range append(eventtest.Good(), eventtest.Bad()...) {
		if bytes.ContainsAny(c.Value, "\n\r") || len(bytes.TrimSpace(c.Value)) == 0 {
			continue // no line
		}
		file.Write(append(c.Value, '\n'))
		n++
		if c.Reason != "" {
			want = append(want, fmt.Sprintf("%d %s %s", n, c.Reason, c.Field))
		}
	}
	whole := Tally{Lines: int64(n), Good: int64(n - len(want)), Bad: int64(len(want))}
	for name, in := range map[string][]byte{
		"plain": file.Bytes(), "gzip": packed(t, file.String()),
		"CR LF": bytes.ReplaceAll(file.Bytes(), []byte("\n"), []byte("\r\n")), "no newline at the end": bytes.TrimSuffix(file.Bytes(), []byte("\n")),
	} {
		t.Run(name, func(t *testing.T) {
			tally, told := check(t, in)
			require.Equal(t, want, told)
			require.Equal(t, whole, tally)
		})
	}
}

func TestCheckOfLinesOfAnyLength(t *testing.T) {
	good, most := string(eventtest.Value()), event.DefaultRules().MaxRecordBytes
	fits := good + strings.Repeat(" ", most-len(good))
	in := "\n \r\n" + fits + "\r\n" + fits + " \n" + strings.Repeat("x", 5*most) + "\n" + strings.Repeat(" ", most+1) + "\n" + good
	tally, told := check(t, []byte(in))
	require.Equal(t, []string{"4 too_large ", "5 too_large "}, told)
	require.Equal(t, Tally{Lines: 7, Blank: 3, Good: 2, Bad: 2}, tally)
	tally, told = check(t, nil)
	require.Empty(t, told)
	require.Zero(t, tally)
}

func TestCheckEndsWithWhoeverIsTold(t *testing.T) {
	full := errors.New("no space left")
	tally, err := Check(t.Context(), strings.NewReader("a\nb\nc\n"), event.DefaultRules(), func(int64, *event.Rejected) error { return full })
	require.ErrorIs(t, err, full)
	require.Equal(t, Tally{Lines: 1, Bad: 1}, tally)
}

func TestCheckOfACutFile(t *testing.T) {
	whole := packed(t, strings.Repeat(string(eventtest.Value())+"\n", 100))
	_, err := Check(t.Context(), bytes.NewReader(whole[:len(whole)-20]), event.DefaultRules(), func(int64, *event.Rejected) error { return nil })
	require.ErrorContains(t, err, "read after line")
}
