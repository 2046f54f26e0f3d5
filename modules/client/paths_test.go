package client

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/httpapi"
)

// Every path of the specification can be asked in every form that it has.
func TestEveryPathCanBeAsked(t *testing.T) {
	spec, err := httpapi.Load()
	require.NoError(t, err)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		kind, body := r.URL.Query().Get("kind"), "{}"
		if kind == kindEvents {
			body = "id: 0\ndata: {}\n\n"
		}
		answer(w, http.StatusOK, kind, body)
	})
	for path, item := range spec.Doc.Paths.Map() {
		if item.Get == nil {
			continue
		}
		for kind := range item.Get.Responses.Status(http.StatusOK).Value.Content {
			query := map[string][]string{"kind": {kind}}
			switch kind {
			case kindJSON:
				_, err = c.Get(t.Context(), path, query)
			case kindNDJSON:
				var body io.ReadCloser
				if body, err = c.Open(t.Context(), path, query); err == nil {
					err = body.Close()
				}
			case kindEvents:
				for _, streamErr := range c.Follow(t.Context(), query, -1) {
					err = streamErr
					break
				}
			default:
				_, err = c.GetAs(t.Context(), path, query, kind)
			}
			require.NoError(t, err, "%s as %s", path, kind)
		}
	}
}
