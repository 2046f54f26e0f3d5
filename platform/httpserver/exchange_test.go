package httpserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

func TestWhichAnswersArePrivate(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/:private", func(c echo.Context) error {
		httpserver.ExchangeOf(c.Request().Context()).Private = c.Param("private") == "true"
		return c.String(http.StatusOK, strconv.FormatBool(httpserver.IsPrivate(c.Response())))
	})
	for _, want := range []string{"true", "false"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+want, nil))
		require.Equal(t, want, w.Body.String())
	}
	require.True(t, httpserver.IsPrivate(httptest.NewRecorder()), "nothing is known of another writer's answer")
}
