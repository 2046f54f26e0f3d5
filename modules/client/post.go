package client

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Post sends a body as JSON to path, none where it is nil, and answers the JSON that came back. The error is a *Problem where the API
// refused.
func (c *Client) Post(ctx context.Context, path string, body any) (jsontext.Value, error) {
	req, err := c.request(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	req.Method = http.MethodPost
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		req.Header.Set("Content-Type", kindJSON)
	}
	req.Header.Set("Accept", kindJSON+", "+kindProblem)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &noAnswerError{c.base.String(), unwrapURL(err)}
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusAccepted:
		resp.StatusCode = http.StatusOK // done, as far as the caller minds
	}
	return c.read(resp, kindJSON)
}
