package postgres_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

// without passes connections on to a server, but for one start-up parameter. It shows the server's own process numbers,
// so it is not taken for a pooler. It returns the URL by which to go through it.
func without(t *testing.T, serverURL, parameter string) string {
	t.Helper()
	u, err := url.Parse(serverURL)
	require.NoError(t, err)
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				behind, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer behind.Close()
				if dropParameter(behind, client, parameter) != nil {
					return
				}
				go func() {
					_, _ = io.Copy(behind, client)
					_ = behind.Close()
				}()
				_, _ = io.Copy(client, behind)
			}()
		}
	}()
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return u.String()
}

// dropParameter passes the start-up packet on: its length, the protocol's version, and names and values that end with NUL.
func dropParameter(to io.Writer, from io.Reader, parameter string) error {
	head := make([]byte, 8)
	if _, err := io.ReadFull(from, head); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-8)
	if _, err := io.ReadFull(from, body); err != nil {
		return err
	}
	texts := strings.Split(string(body), "\x00")
	var kept []string
	for i := 0; i+1 < len(texts) && texts[i] != ""; i += 2 {
		if texts[i] != parameter {
			kept = append(kept, texts[i], texts[i+1])
		}
	}
	left := strings.Join(kept, "\x00") + "\x00\x00"
	binary.BigEndian.PutUint32(head, uint32(8+len(left)))
	_, err := to.Write(slices.Concat(head, []byte(left)))
	return err
}

// Something between this program and PostgreSQL that drops a start-up parameter leaves the connection without its role or
// a limit, and says nothing.
func TestAConnectionThatLacksWhatWasAskedForIsRefused(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE audittrail_api")
	opts := postgres.PoolOptions{URL: direct, Name: "api", Role: "audittrail_api", StatementTimeout: 10 * time.Second, Parameters: map[string]string{"jit": "off"}}
	for parameter, says := range map[string]string{"role": "current_user", "statement_timeout": "statement_timeout", "jit": "jit", "search_path": "search_path"} {
		t.Run(parameter, func(t *testing.T) {
			opts := opts
			opts.URL = without(t, direct, parameter)
			_, err := open(t, opts).Exec(t.Context(), "SELECT 1")
			requireRefused(t, err, "connection_settings", says)
			_, err = postgres.Connect(t.Context(), opts)
			requireRefused(t, err, "connection_settings", says)
		})
	}
	opts.URL = without(t, direct, "none of them")
	require.Equal(t, "audittrail_api", show(t, open(t, opts), "SELECT current_user"))
}
