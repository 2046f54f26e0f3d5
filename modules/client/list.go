package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxPage is the most items that the API gives at once.
const maxPage = 1000

// List pages through a list of the API.
type List struct {
	client *Client
	path   string
	query  url.Values
	limit  int
	next   string
}

// List prepares to read at most limit items of the list at path, 0 for all of them. cursor is where
// another List has ended, or empty.
func (c *Client) List(path string, query url.Values, limit int, cursor string) *List {
	return &List{client: c, path: path, query: query, limit: limit, next: cursor}
}

// NextCursor is where to go on after All has ended; empty at the list's end.
func (l *List) NextCursor() string { return l.next }

// All gives the items as the API sent them. It holds one page at a time. An error ends it.
func (l *List) All(ctx context.Context) iter.Seq2[jsontext.Value, error] {
	return func(yield func(jsontext.Value, error) bool) {
		for given := 0; l.limit == 0 || given < l.limit; {
			items, err := l.page(ctx, given)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range items {
				given++
				if !yield(item, nil) {
					return
				}
			}
			if l.next == "" {
				return
			}
		}
	}
}

// page reads the next page. It may be empty while there are more: only a missing cursor ends a list.
func (l *List) page(ctx context.Context, given int) ([]jsontext.Value, error) {
	size := maxPage
	if l.limit > 0 {
		size = min(size, l.limit-given)
	}
	query := maps.Clone(l.query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(size))
	if l.next != "" {
		query.Set("cursor", l.next)
	}
	body, err := l.client.Get(ctx, l.path, query)
	if err != nil {
		return nil, err
	}
	var page struct {
		Items      jsontext.Value `json:"items"`
		NextCursor *string        `json:"nextCursor"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("the answer of %s is no list: %w", l.path, err)
	}
	if l.next = ""; page.NextCursor != nil {
		l.next = *page.NextCursor
	}
	items, err := split(page.Items, size)
	if err != nil {
		return nil, fmt.Errorf("the answer of %s is no list: %w", l.path, err)
	}
	return items, nil
}

// split takes a JSON array apart, into most items at most: an answer of many millions that are tiny would take
// far more memory than its bytes.
func split(array jsontext.Value, most int) ([]jsontext.Value, error) {
	if array.Kind() != '[' {
		return nil, errors.New("items is no array")
	}
	d := jsontext.NewDecoder(bytes.NewReader(array))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	var items []jsontext.Value
	for d.PeekKind() != ']' {
		if len(items) == most {
			return nil, errors.New("it has more items than were asked for")
		}
		item, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		items = append(items, item.Clone())
	}
	return items, nil
}
