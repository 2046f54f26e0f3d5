package cmd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/modules/ledger"
	"audittrail/platform/console"
)

func newKeysCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, rotate and show the keys that checkpoints are signed with",
		Long: `The notary signs the ledger's checkpoints with ledger.signing_key, an Ed25519 key named ledger.origin.
People who verify need its verifier keys, one for each log. They are public. Give them to auditors by
another channel than the evidence.

Keys are printed as golang.org/x/mod/sumdb/note prints them. Lines that begin with # are comments. The
output of 'keys public', and of the other commands with --out, can be saved as a file for 'audittrail
verify --key FILE'. Without --out it also has the signing key, which nobody else must have.`,
		Args: subcommandOnly,
		RunE: showHelp,
	}
	c.AddCommand(newKeysGenerateCmd(), newKeysRotateCmd(), newKeysPublicCmd(), newKeysShredCmd())
	return c
}

func newKeysGenerateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make a signing key, and print its verifier keys",
		Long: `Generate makes a signing key named ledger.origin and prints the verifier keys of each log. With --out
the signing key is written to a new file of mode 0600, for AUDITTRAIL_LEDGER_SIGNING_KEY_FILE, and not
printed. It changes nothing else.

Keep the signing key only where the notary runs. Somebody who has it and can write to the database can
make another history that verifies.`,
		Example: `  audittrail keys generate --ledger.origin audit.example.com/shop --out signing.key > verifier-keys.txt
  AUDITTRAIL_LEDGER_SIGNING_KEY_FILE=signing.key audittrail serve --roles notary …`,
		Args: cobra.NoArgs,
	}
	out := addOut(c)
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if err := cfg.Require("ledger.origin"); err != nil {
			return err
		}
		key, err := ledger.GenerateKey(cfg.Ledger.Origin, rand.Reader)
		if err != nil {
			return err
		}
		return printKeys(c, output.value, out.path, keyList{
			title: "Signing key of " + key.Origin() + ", a secret: ledger.signing_key takes it.",
			keys:  []ledger.SigningKey{key},
		})
	}
	return c
}

func newKeysRotateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate --ledger | --kek",
		Short: "Put a new signing key before the present ones, or wrap the keys of sealed values anew",
		Long: `Rotate --ledger makes a new signing key and prints the new value of ledger.signing_key: the new key, then the
present ones. It changes nothing itself.

  1. Give that list to every notary, and restart them. From then on each checkpoint has the signatures
     of all keys, so it verifies with the old verifier keys and with the new ones. In its first round
     the notary that leads adds the new key's signature to each log's newest checkpoint. So a log that
     does not grow has a checkpoint of both keys too.
  2. Give the new verifier keys to everybody who verifies. They keep the old ones too: older checkpoints
     only have the old key's signature, for ever.
  3. When everybody has them, end the overlap: 'audittrail keys rotate --ledger --end' prints the new key
     alone. First make sure that the newest checkpoint of each log with entries is signed by the new key:
     'audittrail verify' must pass the answer of GET /v1/ledger/{log}/checkpoint with that key alone. And
     make sure that each notary with a state file of its own has run with both keys: otherwise it does
     not start without the old key. Then restart the notaries with the new key, and destroy the old one.

A lost key can't overlap: generate a new one, and put the lost key's verifier keys into
ledger.retired_keys.

With --out the list is written to a new file of mode 0600 and not printed.

Rotate --kek wraps the keys of sealed values anew, under the key-encryption key of encryption.kek_url.
--from is the former one: its URL, or a file that holds it. The login must be a member of
audittrail_owner in the database of the keys. Processes seal and open meanwhile, and go on with the former
URL until they are restarted. A run that was interrupted is carried on by the next one.

  1. Run 'audittrail keys rotate --kek --from OLD_URL' with the new encryption.kek_url.
  2. Restart all processes with the new encryption.kek_url.
  3. Run 'audittrail keys rotate --kek --end', and destroy the former key-encryption key. From then on no
     backup from before the rotation opens a value of a subject who was erased.

OPERATIONS.md says more about backups.`,
		Example: `  AUDITTRAIL_LEDGER_SIGNING_KEY_FILE=signing.key audittrail keys rotate --ledger --ledger.origin audit.example.com/shop --out overlap.key
  AUDITTRAIL_LEDGER_SIGNING_KEY_FILE=overlap.key audittrail keys rotate --ledger --end --ledger.origin audit.example.com/shop --out new.key
  audittrail keys rotate --kek --from old-kek.url`,
		Args: cobra.NoArgs,
	}
	forLedger := c.Flags().Bool("ledger", false, "rotate the ledger's signing key")
	forKEK := c.Flags().Bool("kek", false, "wrap the keys of sealed values anew, under encryption.kek_url")
	from := c.Flags().String("from", "", "with --kek: URL of the former key-encryption key, or a file that holds it")
	end := c.Flags().Bool("end", false, "end the overlap: keep the first key alone")
	out := addOut(c)
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case *forLedger == *forKEK:
			return wrongUsage("say what is to be rotated: --ledger or --kek")
		case *forKEK && *end:
			return endKEKOverlap(c)
		case *forKEK:
			return rotateKEK(c, *from)
		case *from != "":
			return wrongUsage("--from goes with --kek")
		}
		keys, err := configuredKeys(c)
		if err != nil {
			return err
		}
		list := keyList{title: "ledger.signing_key from now on, a secret: the new key and the present ones, all sign."}
		if *end {
			list.title = "ledger.signing_key when the overlap is over, a secret: the new key alone."
			list.keys, err = ledger.EndOverlap(keys)
		} else {
			list.keys, err = ledger.Rotate(keys, rand.Reader)
		}
		switch {
		case errors.Is(err, ledger.ErrNoOverlap):
			return wrongUsage("%w", err)
		case err != nil:
			return fmt.Errorf("%w; end an overlap with --end", err)
		}
		return printKeys(c, output.value, out.path, list)
	}
	return c
}

func newKeysPublicCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "public",
		Short: "Print the verifier keys of ledger.signing_key",
		Long: `Public prints the verifier keys of each log, for every key in ledger.signing_key: what 'audittrail
verify --key' takes. They are no secret.`,
		Example: `  AUDITTRAIL_LEDGER_SIGNING_KEY_FILE=signing.key audittrail keys public --ledger.origin audit.example.com/shop > verifier-keys.txt`,
		Args:    cobra.NoArgs,
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		keys, err := configuredKeys(c)
		if err != nil {
			return err
		}
		return printKeys(c, output.value, "", keyList{keys: keys})
	}
	return c
}

func configuredKeys(c *cobra.Command) ([]ledger.SigningKey, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return nil, err
	}
	if err := cfg.Require("ledger.signing_key"); err != nil {
		return nil, err
	}
	return cfg.Ledger.Keys()
}

// keyList is keys to be shown: the secret under a title, or without a title the verifier keys alone.
type keyList struct {
	title string
	keys  []ledger.SigningKey
}

type printedKeys struct {
	Origin       string       `json:"origin"`
	SigningKey   string       `json:"signingKey,omitzero"`
	VerifierKeys []printedKey `json:"verifierKeys"`
}

type printedKey struct {
	Log     ledger.Log `json:"log"`
	Key     string     `json:"key"`
	Current bool       `json:"current"` // of the first signing key
}

func (l keyList) printed() printedKeys {
	p := printedKeys{Origin: l.keys[0].Origin()}
	for i, k := range l.keys {
		for _, log := range ledger.Logs() {
			p.VerifierKeys = append(p.VerifierKeys, printedKey{log, k.VerifierKey(log), i == 0})
		}
	}
	return p
}

// printKeys prints the verifier keys, and the secret unless it goes to a file.
func printKeys(c *cobra.Command, format, out string, list keyList) error {
	printed := list.printed()
	if list.title != "" && out != "" {
		if err := writeNewSecret(out, ledger.Secrets(list.keys)+"\n"); err != nil {
			return err
		}
	} else if list.title != "" {
		printed.SigningKey = ledger.Secrets(list.keys)
	}
	if format == "json" {
		return console.PrintJSON(c.OutOrStdout(), printed)
	}
	var b strings.Builder
	if printed.SigningKey != "" {
		fmt.Fprintf(&b, "# %s\n%s\n\n", list.title, printed.SigningKey)
	}
	fmt.Fprintf(&b, "# Verifier keys of %s, public: what 'audittrail verify --key' takes.\n", printed.Origin)
	for _, k := range printed.VerifierKeys {
		fmt.Fprintln(&b, k.Key)
	}
	_, err := fmt.Fprint(c.OutOrStdout(), b.String())
	return err
}
