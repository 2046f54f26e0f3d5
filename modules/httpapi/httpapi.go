// Package httpapi is the HTTP contract: openapi.yaml, the server interface and types generated from it,
// the check of requests against it, and the answers' shapes.
//
// It holds no query, no permission and no role; those fulfil [StrictServerInterface], but for the
// specification itself ([Docs]). Problem documents are rendered by platform/httpserver alone.
package httpapi

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.yaml
