package logging

import (
	"io"
	"log/slog"
	"testing"
	"time"
)

func TestNamesSecret(t *testing.T) {
	for key, want := range map[string]bool{
		"dbPassword": true, "SECRET": true, "client_token": true, "Authorization": true, "credentials": true, "set-cookie": true,
		"apikey": true, "X-Api-Key": true, "signing_key": true, "privateKey": true, "keys.private_key.id": true,
		"api": false, "key": false, "keyapi": false, "api.x.key": false, "correlationId": false, "": false,
	} {
		if got := namesSecret(key); got != want {
			t.Errorf("%q: %v", key, got)
		}
	}
}

// BenchmarkRequestLine is a line as each request writes one.
func BenchmarkRequestLine(b *testing.B) {
	log := New(io.Discard, Options{Level: "info", Format: "json"})
	for b.Loop() {
		log.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("method", "GET"), slog.String("route", "/v1/events/{eventId}"),
			slog.Int("status", 200), slog.Duration("duration", time.Millisecond), slog.String("correlationId", "0193b2a0-6f7e-7c3a-9f54-3d1f6a1b2c3d"))
	}
}
