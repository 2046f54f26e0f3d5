package kafkaserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below the range that systems give to outgoing connections (32768 and up on
// Linux, 49152 on others): in it, somebody's connection may hold the port while the broker is down,
// and a client that keeps dialling a dead port there can even connect to itself.
const firstPort, lastPort = 20_000, 32_000

// freePorts gives n loopback addresses that nobody listens on. Whoever is quicker may still take
// one; then the broker's start fails and says so.
func freePorts(n int) ([]string, error) {
	var held []net.Listener // so that no port is given twice
	defer func() {
		for _, l := range held {
			_ = l.Close() // nothing was accepted
		}
	}()
	var out []string
	for range 1000 {
		if len(out) == n {
			return out, nil
		}
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue // taken
		}
		held, out = append(held, l), append(out, addr)
	}
	return nil, errors.New("no free ports for kafka")
}
