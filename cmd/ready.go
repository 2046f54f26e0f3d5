package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// readyBytes bounds what is read of an answer.
const readyBytes = 1 << 20

func newReadyCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "ready",
		Short: "Ask the serve of this machine or container whether it can do its work",
		Long: `Ready asks /readyz at admin.addr on this machine and prints the answer. The exit status is 0 if every role
of that process can do its work, else 1. It is for health checks in containers, whose image has no
shell and no curl. Where the operators' port speaks TLS (admin.tls.cert), use a probe by HTTPS instead.`,
		Example: `  audittrail ready
  HEALTHCHECK CMD ["/audittrail", "ready"]`,
		Args: cobra.NoArgs,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if cfg.Admin.TLS.Cert != "" {
			return wrongUsage("admin.tls.cert is set, and ready speaks plain HTTP: probe https://HOST/readyz instead")
		}
		host, port, err := net.SplitHostPort(cfg.Admin.Addr)
		if err != nil {
			return wrongUsage("admin.addr: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return askReady(c.Context(), "http://"+net.JoinHostPort(host, port)+"/readyz", c.OutOrStdout())
	}
	return c
}

func askReady(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // no proxy: it is this machine
	if err != nil {
		return fmt.Errorf("no serve answers: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(out, io.LimitReader(answer.Body, readyBytes)); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New("not ready")
	}
	return nil
}
