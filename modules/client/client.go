// Package client asks a running API over HTTP, for the commands that are its clients: it sends the
// token, pages through lists, and turns problem answers into errors that a person can act on.
//
// It knows the API's conventions (RFC 9457 problems, items and nextCursor), not what the items mean:
// they pass through as the JSON that the API sent. A few paths have a method of their own, such as
// [Client.State]; all others are asked by [Client.List] where they are lists with pages, by [Client.Get] for
// their JSON, by [Client.GetAs] for what else they are, and by [Client.Open] where an answer may have any length.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds the memory of one answer. A page ends at 16 MiB of events; spacing and the rest of
// the answer have room.
const maxAnswer = 64 << 20

// maxRefusal bounds what is read of any other answer than the one that was asked for.
const maxRefusal = 256 << 10

// Client asks one API. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client of the API at base, such as http://127.0.0.1:8080. The token may be empty; then
// the API will say that it wants one.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("client.url must be an http or https URL, such as http://127.0.0.1:8080")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return &Client{base: u, token: strings.TrimSpace(token), http: &http.Client{
		Timeout: 2 * time.Minute,
		// The API never redirects. Whatever does is something else, and gets no token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Plain says that the token would travel unencrypted over a network.
func (c *Client) Plain() bool {
	if c.base.Scheme == "https" || c.token == "" || c.base.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(c.base.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// Get answers the JSON at path, which is escaped already and begins with a slash. The error is a
// *Problem where the API refused.
func (c *Client) Get(ctx context.Context, path string, query url.Values) (jsontext.Value, error) {
	return c.GetAs(ctx, path, query, kindJSON)
}

// GetAs answers what is at path, as Get does, in another form: kind is a media type of its answers in the
// specification, such as text/plain for a checkpoint.
func (c *Client) GetAs(ctx context.Context, path string, query url.Values, kind string) ([]byte, error) {
	req, err := c.request(ctx, path, query)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", kind+", "+kindProblem)
	return c.do(req, kind)
}

func (c *Client) do(req *http.Request, kind string) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &noAnswerError{c.base.String(), unwrapURL(err)}
	}
	defer resp.Body.Close()
	return c.read(resp, kind)
}

// request is what Get and Open ask.
func (c *Client) request(ctx context.Context, path string, query url.Values) (*http.Request, error) {
	u := *c.base
	u.RawPath = c.base.EscapedPath() + path
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, fmt.Errorf("path %s: %w", path, err)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", kindJSON+", "+kindNDJSON+", "+kindCSV+", "+kindProblem)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// The media types of the API's answers.
const (
	kindJSON    = "application/json"
	kindNDJSON  = "application/x-ndjson"
	kindEvents  = "text/event-stream"
	kindCSV     = "text/csv"
	kindProblem = "application/problem+json"
)

// kindOf is an answer's media type, without its parameters.
func kindOf(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind
}

// unwrapURL takes the URL out of an error's text: it may hold what somebody searches for.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *Client) read(resp *http.Response, kind string) ([]byte, error) {
	if resp.StatusCode != http.StatusOK || kindOf(resp) != kind {
		return nil, c.refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the answer from %s was cut off: %w", c.base, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer from %s is longer than %d MiB; ask with a smaller limit", c.base, maxAnswer>>20)
	}
	return body, nil
}

// refusal reads an answer that is not what was asked for: a *Problem where the API made it.
func (c *Client) refusal(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // of a longer one the rest is missing, so it is no JSON
	if err != nil {
		return fmt.Errorf("the answer from %s was cut off: %w", c.base, err)
	}
	var p Problem
	if kindOf(resp) != kindProblem || json.Unmarshal(body, &p) != nil {
		return &foreignError{c.base.String(), resp.StatusCode}
	}
	p.Status = resp.StatusCode
	return &p
}

// foreignError is an answer that the API does not make: a proxy's, or that of another program.
type foreignError struct {
	base   string
	status int
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s answered %d (%s), which is not how audittrail answers; is client.url right?",
		e.base, e.status, http.StatusText(e.status))
}

// Problem is an answer that refuses (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	} `json:"errors"`
	CorrelationID string `json:"correlationId"`
}

// Error is the problem in lines for people. What the API sent of it stays on the line where it stands, so
// that it can't pass for another; it may hold anything else.
func (p *Problem) Error() string {
	oneLine := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace
	var b strings.Builder
	fmt.Fprintf(&b, "the API refused (%d %s)", p.Status, oneLine(p.Code))
	if p.Detail != "" {
		b.WriteString(": " + oneLine(p.Detail))
	}
	for _, e := range p.Errors {
		if part := e.Field + ": " + e.Detail; part != p.Detail {
			b.WriteString("\n  " + oneLine(part))
		}
	}
	if p.Status == http.StatusUnauthorized {
		b.WriteString("\n  give a valid token: AUDITTRAIL_CLIENT_TOKEN, or AUDITTRAIL_CLIENT_TOKEN_FILE with the path of a file")
	}
	if p.CorrelationID != "" {
		b.WriteString("\n  correlation id " + oneLine(p.CorrelationID))
	}
	return b.String()
}
