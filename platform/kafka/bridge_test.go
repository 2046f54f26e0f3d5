package kafka

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What the client says of a batch that we read ourselves is no error, and nobody should do what it advises.
func TestTheClientsAdviceToSkipABatchIsNotPassedOn(t *testing.T) {
	var out bytes.Buffer
	logger := bridge{slog.New(slog.NewTextHandler(&out, nil))}
	logger.Log(kgo.LogLevelError, "batch decompresses larger than MaxDecompressBatchBytes, stopping consuming the partition; skip the batch with SetOffsets")
	if out.Len() != 0 {
		t.Errorf("logged %s", &out)
	}
	logger.Log(kgo.LogLevelError, "anything else")
	if out.Len() == 0 {
		t.Error("nothing else is logged either")
	}
}
