package systemtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between the program and PostgreSQL and sees each message of the protocol. It is for
// faults at an exact step of a transaction.
type proxy struct {
	address string // where it listens
	target  string

	// toClient and toServer see a message before it is passed on; false cuts the connection instead.
	// They run on the connection's goroutine, so that what blocks in them holds up that direction of
	// that connection and nothing else.
	toClient func(kind byte, body []byte) bool
	toServer func(kind byte, body []byte) bool
}

// newProxy listens until the test ends.
func newProxy(t *testing.T, databaseURL string) *proxy {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pass := func(byte, []byte) bool { return true }
	p := &proxy{address: listener.Addr().String(), target: u.Host, toClient: pass, toServer: pass}
	var connections sync.WaitGroup
	accepted := make(chan struct{})
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		defer close(accepted)
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			mu.Lock()
			open = append(open, client)
			mu.Unlock()
			connections.Go(func() { p.serve(client) })
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-accepted
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		connections.Wait()
	})
	return p
}

// serve passes one connection's messages on until either side, or a hook, ends it.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	var sides sync.WaitGroup
	cut := func() { _ = client.Close(); _ = server.Close() }
	sides.Go(func() { defer cut(); _ = relay(client, server, true, p.toServer) })
	sides.Go(func() { defer cut(); _ = relay(server, client, false, p.toClient) })
	sides.Wait()
}

// relay copies messages: a kind, a length that counts itself, a body. Only a client's first message,
// the start-up packet, has no kind. (With sslmode=disable there is nothing before it.)
func relay(from io.Reader, to io.Writer, startup bool, see func(byte, []byte) bool) error {
	in := bufio.NewReaderSize(from, 1<<16)
	out := bufio.NewWriterSize(to, 1<<16)
	for {
		var kind byte
		var message []byte
		if !startup {
			var err error
			if kind, err = in.ReadByte(); err != nil {
				return err
			}
			message = append(message, kind)
		}
		startup = false
		var length [4]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return err
		}
		body := make([]byte, int(binary.BigEndian.Uint32(length[:]))-len(length))
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		if !see(kind, body) {
			return errors.New("cut on purpose")
		}
		if _, err := out.Write(append(append(message, length[:]...), body...)); err != nil {
			return err
		}
		if in.Buffered() == 0 { // whoever waits for an answer has sent all
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
