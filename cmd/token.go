package cmd

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"audittrail/cmd/dev"
)

func newTokenCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a token for local work",
		Long: `Token prints a token that 'audittrail dev' accepts, signed with the key in its data folder: to try
what a role may see. dev's own token, in the file of that name in the folder, has the role admin.

A 'serve' that is given --auth.jwks_file FOLDER/keys/jwks.json, --auth.issuer audittrail-dev and
--auth.audience audittrail accepts it, too. Give them so on your own machine only: whoever has the
folder can be anybody there.

Where the configuration names an issuer elsewhere (a URL, or keys that are not the folder's), no token is
made: that issuer makes them.`,
		Example: `  audittrail token --role viewer
  AUDITTRAIL_CLIENT_TOKEN=$(audittrail token --role auditor --subject alice) audittrail events`,
		Args: cobra.NoArgs,
	}
	var o dev.TokenOptions
	c.Flags().StringVar(&o.Dir, "data", ".audittrail", "data folder of 'audittrail dev'")
	c.Flags().StringArrayVar(&o.Roles, "role", []string{"viewer"}, "role of the caller; may be repeated")
	c.Flags().StringVar(&o.Subject, "subject", "dev", "who the caller is")
	c.Flags().DurationVar(&o.Expires, "expires", 24*time.Hour, "how long the token is valid, at most 30 days")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if err := checkTokenFlags(o); err != nil {
			return err
		}
		token, err := dev.Mint(cfg.Auth, o)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return err
	}
	return c
}

func checkTokenFlags(o dev.TokenOptions) error {
	switch {
	case o.Subject == "" || !utf8.ValidString(o.Subject):
		return wrongUsage("--subject must not be empty")
	case slices.Contains(o.Roles, ""):
		return wrongUsage("--role must not be empty")
	case o.Expires <= 0 || o.Expires > dev.TokenLifetime:
		return wrongUsage("--expires must be more than 0, and at most 720h")
	}
	return nil
}
