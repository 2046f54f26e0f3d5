package dev

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"audittrail/modules/event"
	"audittrail/platform/console"
)

// banner is what somebody needs who sees this for the first time, ready to paste.
func (s *stack) banner(up map[string]string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\naudittrail dev is running. Ctrl-C stops it, and the next start goes on from here.\n")
	api := up["api"]
	if api != "" {
		line("  API         %s   (documents: %s/docs)", s.baseURL(api), s.baseURL(api))
	}
	line("  operators   %s   (/readyz, /metrics)", s.adminURL(up["admin"]))
	line("  Kafka       %s%s", strings.Join(s.Config.Kafka.Brokers, ","), embedded(s.kafka != nil))
	line("  PostgreSQL  %s", s.database())
	line("  data        %s", s.folder.Dir())
	if s.token != "" {
		line("  token       in %s%s", s.short(partToken), s.shownToken())
	}
	line("")
	if api != "" && s.token != "" {
		line("Ask for the latest events:\n")
		line("  %s", s.curl(api, "/v1/events?limit=3"))
		line("  %s\n", s.eventsCommand(api))
	}
	line("Publish your own, and check that nothing is lost:\n")
	line("  %s publish FILE --topic TOPIC --create 3%s", self(), s.brokersFlag())
	if s.postgres != nil {
		line("  AUDITTRAIL_POSTGRES_URL_FILE=%s %s reconcile%s", quoted(s.short(partPostgresURL)), self(), s.brokersFlag())
	}
	line("\nProve that history was not changed, with the ledger's public keys in %s:\n", s.short(partVerifierKeys))
	if api != "" && s.token != "" {
		line("  %s | %s verify - --key %s", strings.Replace(s.curl(api, "/v1/events/EVENT_ID/proof"), "curl", "curl -sf", 1), self(), quoted(s.short(partVerifierKeys)))
	}
	if s.postgres != nil {
		line("  AUDITTRAIL_POSTGRES_URL_FILE=%s %s verify --database --key %s --notary.state_file %s",
			quoted(s.short(partPostgresURL)), self(), quoted(s.short(partVerifierKeys)), quoted(s.short(partNotary)))
	}
	line("")
	return b.String()
}

// shownToken is the token for who sits in front of a screen. What goes to a file or a pipe is kept, and
// often sent on: a token has no place there.
func (s *stack) shownToken() string {
	if !s.terminal {
		return ""
	}
	return ":\n\n" + s.token
}

func embedded(is bool) string {
	if is {
		return "   (embedded)"
	}
	return ""
}

// database says where it is, without its password.
func (s *stack) database() string {
	u, err := url.Parse(s.Config.Postgres.URL)
	if err != nil || u.Host == "" {
		return "as postgres.url says"
	}
	return u.Host + u.Path + embedded(s.postgres != nil)
}

func (s *stack) baseURL(addr string) string {
	if s.Config.HTTP.TLS.Cert != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

func (s *stack) adminURL(addr string) string {
	if s.Config.Admin.TLS.Cert != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

func (s *stack) curl(addr, path string) string {
	return fmt.Sprintf(`curl -H "Authorization: Bearer $(cat %s)" '%s%s'`, quoted(s.short(partToken)), s.baseURL(addr), path)
}

func (s *stack) eventsCommand(addr string) string {
	command := fmt.Sprintf("AUDITTRAIL_CLIENT_TOKEN_FILE=%s %s events --limit 10", quoted(s.short(partToken)), self())
	if base := s.baseURL(addr); base != "http://127.0.0.1:8080" {
		command += " --client.url " + base
	}
	return command
}

func (s *stack) brokersFlag() string {
	if brokers := strings.Join(s.Config.Kafka.Brokers, ","); brokers != "127.0.0.1:9092" {
		return " --kafka.brokers " + brokers
	}
	return ""
}

// short is a part of the folder as one would type it here.
func (s *stack) short(part string) string {
	full := s.folder.Path(part)
	here, err := os.Getwd()
	if err != nil {
		return full
	}
	if rel, err := filepath.Rel(here, full); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return full
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_./:=-]+$`)

// quoted is a word that a shell takes as one.
func quoted(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// self is how this program was called.
func self() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	return quoted(os.Args[0])
}

// firstEvent tells of it, with the way to look at it.
func (s *stack) firstEvent(api string, e *event.Stored) string {
	text := fmt.Sprintf("First event stored %.1f s after the start: %s %s of %s %s\n",
		e.RecordedAt.Sub(s.Started).Seconds(), console.Visible(e.Type), e.ID, console.Visible(e.AggregateType), console.Visible(e.AggregateID))
	if api != "" && s.token != "" {
		text += "\n  " + s.curl(api, "/v1/events/"+e.ID.String()) + "\n\n"
	}
	return text
}
