package kafka

import (
	"context"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// bridge passes the client's log on to slog, one level down: what the client calls information
// (connections, rebalances, metadata) is for whoever debugs. Its debug level is left out: it is a line
// a request.
type bridge struct{ log *slog.Logger }

func (b bridge) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case b.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case b.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	}
	return kgo.LogLevelError
}

// tooLarge begins what the client says of a batch that the Unpacker leaves to FetchBatch. Nothing is wrong then, and
// its advice, to skip the batch, would lose records.
const tooLarge = "batch decompresses larger than"

func (b bridge) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	}
	if strings.HasPrefix(msg, tooLarge) {
		to = slog.LevelDebug
	}
	b.log.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
