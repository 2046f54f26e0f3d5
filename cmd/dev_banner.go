package cmd

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
func (d *dev) banner(up map[string]string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\naudittrail dev is running. Ctrl-C stops it, and the next start goes on from here.\n")
	api := up["api"]
	if api != "" {
		line("  API         %s   (documents: %s/docs)", d.baseURL(api), d.baseURL(api))
	}
	line("  operators   %s   (/readyz, /metrics)", d.adminURL(up["admin"]))
	line("  Kafka       %s%s", strings.Join(d.cfg.Kafka.Brokers, ","), embedded(d.kafka != nil))
	line("  PostgreSQL  %s", d.database())
	line("  data        %s", d.folder.Dir())
	if d.token != "" {
		line("  token       in %s%s", d.short(partToken), d.shownToken())
	}
	line("")
	if api != "" && d.token != "" {
		line("Ask for the latest events:\n")
		line("  %s", d.curl(api, "/v1/events?limit=3"))
		line("  %s\n", d.eventsCommand(api))
	}
	line("Publish your own, and check that nothing is lost:\n")
	line("  %s publish FILE --topic TOPIC --create 3%s", self(), d.brokersFlag())
	if d.postgres != nil {
		line("  AUDITTRAIL_POSTGRES_URL_FILE=%s %s reconcile%s", quoted(d.short(partPostgresURL)), self(), d.brokersFlag())
	}
	line("\nProve that history was not changed, with the ledger's public keys in %s:\n", d.short(partVerifierKeys))
	if api != "" && d.token != "" {
		line("  %s | %s verify - --key %s", strings.Replace(d.curl(api, "/v1/events/EVENT_ID/proof"), "curl", "curl -sf", 1), self(), quoted(d.short(partVerifierKeys)))
	}
	if d.postgres != nil {
		line("  AUDITTRAIL_POSTGRES_URL_FILE=%s %s verify --database --key %s --notary.state_file %s",
			quoted(d.short(partPostgresURL)), self(), quoted(d.short(partVerifierKeys)), quoted(d.short(partNotary)))
	}
	line("")
	return b.String()
}

// shownToken is the token for who sits in front of a screen. What goes to a file or a pipe is kept, and
// often sent on: a token has no place there.
func (d *dev) shownToken() string {
	if !d.terminal {
		return ""
	}
	return ":\n\n" + d.token
}

func embedded(is bool) string {
	if is {
		return "   (embedded)"
	}
	return ""
}

// database says where it is, without its password.
func (d *dev) database() string {
	u, err := url.Parse(d.cfg.Postgres.URL)
	if err != nil || u.Host == "" {
		return "as postgres.url says"
	}
	return u.Host + u.Path + embedded(d.postgres != nil)
}

func (d *dev) baseURL(addr string) string {
	if d.cfg.HTTP.TLS.Cert != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

func (d *dev) adminURL(addr string) string {
	if d.cfg.Admin.TLS.Cert != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

func (d *dev) curl(addr, path string) string {
	return fmt.Sprintf(`curl -H "Authorization: Bearer $(cat %s)" '%s%s'`, quoted(d.short(partToken)), d.baseURL(addr), path)
}

func (d *dev) eventsCommand(addr string) string {
	command := fmt.Sprintf("AUDITTRAIL_CLIENT_TOKEN_FILE=%s %s events --limit 10", quoted(d.short(partToken)), self())
	if base := d.baseURL(addr); base != "http://127.0.0.1:8080" {
		command += " --client.url " + base
	}
	return command
}

func (d *dev) brokersFlag() string {
	if brokers := strings.Join(d.cfg.Kafka.Brokers, ","); brokers != "127.0.0.1:9092" {
		return " --kafka.brokers " + brokers
	}
	return ""
}

// short is a part of the folder as one would type it here.
func (d *dev) short(part string) string {
	full := d.folder.Path(part)
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
func (d *dev) firstEvent(api string, e *event.Stored) string {
	text := fmt.Sprintf("First event stored %.1f s after the start: %s %s of %s %s\n",
		e.RecordedAt.Sub(d.options.started).Seconds(), console.Visible(e.Type), e.ID, console.Visible(e.AggregateType), console.Visible(e.AggregateID))
	if api != "" && d.token != "" {
		text += "\n  " + d.curl(api, "/v1/events/"+e.ID.String()) + "\n\n"
	}
	return text
}
