package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

// streaming answers a route that streams n parts and then ends with err.
func streaming(n int, err error) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Content-Type", "text/plain")
		stream, refused := httpserver.StartStream(c.Response(), http.StatusOK)
		if refused != nil {
			return refused
		}
		for range n {
			httpserver.ShowEvents(c.Request().Context(), 1)
			if _, err := io.WriteString(stream, strings.Repeat("x", 1<<10)); err != nil {
				return err
			}
		}
		if err := stream.Flush(); err != nil {
			return err
		}
		return err
	}
}

// asked notes what a hook was asked, and refuses in one phase.
type asked struct {
	phases []httpserver.Phase
	events []int
	refuse httpserver.Phase
}

func (a *asked) hook(_ context.Context, x *httpserver.Exchange) error {
	a.phases, a.events = append(a.phases, x.Phase), append(a.events, x.Events)
	if x.Phase == a.refuse {
		return errors.New("the access log is away: hunter2")
	}
	return nil
}

func streamServer(t *testing.T, log io.Writer, a *asked, n int, err error) *httptest.Server {
	t.Helper()
	s := newServer(t, httpserver.Options{}, log, a.hook)
	s.Echo().GET("/stream", streaming(n, err))
	s.Echo().GET("/twice", func(c echo.Context) error {
		if err := streaming(1, nil)(c); err != nil {
			return err
		}
		return streaming(1, nil)(c)
	})
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	return listening
}

// received is an answer as far as it came.
type received struct {
	status int
	header http.Header
	body   []byte
}

func read(t *testing.T, url string) (received, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := streamClient().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return received{response.StatusCode, response.Header, body}, err
}

// A stream is let go before its first byte and asked about at its end; it may be larger than what is held.
func TestAStreamStartsAndEnds(t *testing.T) {
	a := &asked{}
	s := streamServer(t, io.Discard, a, 30<<10, nil)
	response, err := read(t, s.URL+"/stream")
	require.NoError(t, err)
	require.Equal(t, 200, response.status)
	require.Equal(t, "nosniff", response.header.Get("X-Content-Type-Options"))
	require.NotEmpty(t, response.header.Get("X-Correlation-Id"))
	require.Len(t, response.body, 30<<20)
	require.Equal(t, []httpserver.Phase{httpserver.PhaseStart, httpserver.PhaseProgress, httpserver.PhaseEnd}, a.phases, "so many events are told on the way")
	require.Equal(t, []int{0, 30 << 10, 30 << 10}, a.events)
}

func TestAStreamThatFailsIsCut(t *testing.T) {
	var log bytes.Buffer
	a := &asked{}
	s := streamServer(t, &log, a, 3, errors.New("hunter2"))
	response, err := read(t, s.URL+"/stream")
	require.Equal(t, 200, response.status)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the reader sees that it is not whole")
	require.LessOrEqual(t, len(response.body), 3<<10)
	require.NotContains(t, string(response.body), "hunter2")
	s.Close() // the handler has ended
	require.Contains(t, log.String(), "hunter2")
	require.Equal(t, []httpserver.Phase{httpserver.PhaseStart, httpserver.PhaseEnd}, a.phases)
}

func TestHooksHoldStreamsBack(t *testing.T) {
	a := &asked{refuse: httpserver.PhaseStart}
	response, err := read(t, streamServer(t, io.Discard, a, 3, nil).URL+"/stream")
	require.NoError(t, err)
	require.Equal(t, 503, response.status)
	require.Equal(t, "application/problem+json", response.header.Get("Content-Type"))
	require.NotContains(t, string(response.body), "xxx")
	require.Equal(t, []httpserver.Phase{httpserver.PhaseStart, httpserver.PhaseRequest}, a.phases, "the refusal is an answer, too")

	a = &asked{refuse: httpserver.PhaseEnd}
	_, err = read(t, streamServer(t, io.Discard, a, 3, nil).URL+"/stream")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestAStreamsReaderMayLeave(t *testing.T) {
	a := &asked{}
	s := streamServer(t, io.Discard, a, 100<<10, nil)
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/stream", nil)
	require.NoError(t, err)
	response, err := streamClient().Do(request)
	require.NoError(t, err)
	_, err = io.ReadFull(response.Body, make([]byte, 1000))
	require.NoError(t, err)
	cancel()
	require.NoError(t, response.Body.Close())
	s.Close() // waits for the handler
	require.Equal(t, httpserver.PhaseEnd, a.phases[len(a.phases)-1])
	require.Less(t, a.events[len(a.events)-1], 100<<10)
}

func TestStreamsThatCanNotBe(t *testing.T) {
	a := &asked{}
	_, err := read(t, streamServer(t, io.Discard, a, 3, nil).URL+"/twice")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = httpserver.StartStream(httptest.NewRecorder(), http.StatusOK)
	require.Error(t, err)
}

// streamClient keeps no connection, so that none outlives a test.
func streamClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func TestStreamsOverHTTP2(t *testing.T) {
	for name, failure := range map[string]error{"whole": nil, "cut": errors.New("hunter2")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, httpserver.Options{}, io.Discard)
			s.Echo().GET("/stream", streaming(2<<10, failure))
			secure := httptest.NewUnstartedServer(s)
			secure.EnableHTTP2 = true
			secure.StartTLS()
			t.Cleanup(secure.Close)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+"/stream", nil)
			require.NoError(t, err)
			response, err := secure.Client().Do(request)
			require.NoError(t, err)
			require.Equal(t, 2, response.ProtoMajor)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, response.Body.Close())
			require.Equal(t, failure != nil, err != nil)
			require.LessOrEqual(t, len(body), 2<<20)
		})
	}
}

// A reader that takes nothing is given up, and gets no end of its answer; one that takes a little at a
// time may take as long as it likes.
func TestAStreamsReaderMustRead(t *testing.T) {
	ended := make(chan error, 1)
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.SetStreamPace(time.Second)
	s.Echo().GET("/stream", func(c echo.Context) error {
		err := streaming(24<<10, nil)(c)
		ended <- err
		return err
	})
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, listening.URL+"/stream", nil)
	require.NoError(t, err)
	response, err := streamClient().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
	_, err = io.Copy(io.Discard, response.Body)
	require.Error(t, err)

	response, err = streamClient().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	slow := time.NewTicker(time.Millisecond)
	defer slow.Stop()
	n := int64(0)
	for part := int64(1); part > 0; n += part {
		<-slow.C
		part, _ = io.CopyN(io.Discard, response.Body, 200<<10)
	}
	require.EqualValues(t, 24<<20, n)
	require.NoError(t, <-ended)
}

// A reader that takes too little over some time is cut off, and the log says so; one that takes enough is
// served to the end, however often its rate was looked at.
func TestAStreamsReaderMustKeepARate(t *testing.T) {
	var log bytes.Buffer
	ended := make(chan error, 1)
	s := newServer(t, httpserver.Options{}, &log)
	s.SetStreamRate(100<<10, 200*time.Millisecond) // 512 KiB/s
	s.Echo().GET("/stream", func(c echo.Context) error {
		err := streaming(8<<10, nil)(c)
		ended <- err
		return err
	})
	listening := httptest.NewUnstartedServer(s)
	listening.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew { // what the system holds is no reader
			assert.NoError(t, c.(*net.TCPConn).SetWriteBuffer(256<<10))
		}
	}
	listening.Start()
	t.Cleanup(listening.Close)
	small := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, listening.URL+"/stream", nil)
	require.NoError(t, err)
	response, err := small.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	drip := time.NewTicker(20 * time.Millisecond)
	defer drip.Stop()
	n := int64(0)
	for len(ended) == 0 && err == nil { // 50 KiB/s
		<-drip.C
		_, err = io.CopyN(io.Discard, response.Body, 1<<10)
		n += 1 << 10
	}
	require.Less(t, n, int64(8<<20))
	require.ErrorIs(t, <-ended, httpserver.ErrSlowReader)
	_, err = io.Copy(io.Discard, response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "it can't take it for whole")

	whole, err := read(t, listening.URL+"/stream")
	require.NoError(t, err)
	require.Len(t, whole.body, 8<<20)
	require.NoError(t, <-ended)
	listening.Close()
	require.Contains(t, log.String(), "the reader is too slow")
}
