package cmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/platform/console"
)

// replayAnswer is a replay as the API answers it.
type replayAnswer struct {
	ID, State, Reason, CreatedBy, CreatedAt, Error string
	Total, Sent, Failed, Waiting, Remaining, Until int64
	Rate                                           float64
	EstimatedEnd                                   *string
	Target                                         jsontext.Value
}

func readReplay(answer jsontext.Value) (r replayAnswer, err error) {
	if err := json.Unmarshal(answer, &r, json.MatchCaseInsensitiveNames(true)); err != nil {
		return r, fmt.Errorf("the API's answer is no replay: %w", err)
	}
	return r, nil
}

// barCells is how wide a progress bar is.
const barCells = 30

// line is a replay on one line, with a bar.
func (r replayAnswer) line() string {
	settled := r.Sent + r.Failed + r.Waiting
	part := 1.0
	if r.Total > 0 {
		part = min(float64(settled)/float64(r.Total), 1)
	}
	full := int(part * barCells)
	text := fmt.Sprintf("[%s%s] %3d%%  %s of %s events", strings.Repeat("#", full), strings.Repeat(".", barCells-full), int(part*100),
		console.Grouped(r.Sent), console.Grouped(r.Total))
	if r.Rate > 0 {
		text += fmt.Sprintf(", %.0f a second", r.Rate)
	}
	if r.EstimatedEnd != nil {
		if end, err := event.ParseTime(*r.EstimatedEnd); err == nil {
			text += ", " + max(time.Until(end), 0).Round(time.Second).String() + " to go"
		}
	}
	if r.Failed+r.Waiting > 0 {
		text += fmt.Sprintf(", %s failed, %s waiting", console.Grouped(r.Failed), console.Grouped(r.Waiting))
	}
	if r.State != "running" {
		text += ", " + r.State
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
}

func printReplay(w io.Writer, answer jsontext.Value, form string) error {
	if form == "json" {
		return printAnswer(w, answer)
	}
	r, err := readReplay(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s  %s\n%s\n", console.Visible(r.ID), console.Visible(r.Reason), console.Visible(r.line()))
	return err
}

func printPreview(w io.Writer, answer jsontext.Value) error {
	var p struct {
		Total, Bytes, Sealed, Erased, Until int64
		From, To                            *string
		Types                               map[string]int64
		EstimatedSeconds                    float64
	}
	if err := json.Unmarshal(answer, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer is no preview: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s events, about %s KiB, in about %s\n", console.Grouped(p.Total), console.Grouped((p.Bytes+1023)>>10), time.Duration(p.EstimatedSeconds*float64(time.Second)).Round(time.Second))
	if p.From != nil && p.To != nil {
		fmt.Fprintf(&b, "from %s to %s\n", *p.From, *p.To)
	}
	kinds := slices.SortedFunc(maps.Keys(p.Types), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.Types[b], p.Types[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%12s  %s\n", console.Grouped(p.Types[kind]), console.Visible(kind))
	}
	if p.Sealed+p.Erased > 0 {
		fmt.Fprintf(&b, "%s hold sealed values, %s erased ones\n", console.Grouped(p.Sealed), console.Grouped(p.Erased))
	}
	fmt.Fprintf(&b, "start it with --until %d --confirm %d\n", p.Until, p.Total)
	_, err := io.WriteString(w, b.String())
	return err
}
