package query

import (
	"context"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/platform/auth"
)

type meAnswer struct {
	Principal   string                                  `json:"principal"`
	Roles       []string                                `json:"roles"`
	Permissions []access.Permission                     `json:"permissions"`
	Scope       map[access.Permission][]scopePartAnswer `json:"scope"`
	ExpiresAt   string                                  `json:"expiresAt"`
}

type scopePartAnswer struct {
	EventTypes     []string `json:"eventTypes"`
	AggregateTypes []string `json:"aggregateTypes"`
	Sources        []string `json:"sources"`
}

// GetMe answers who the caller is, and what that allows.
func (h *Handlers) GetMe(ctx context.Context, _ httpapi.GetMeRequestObject) (httpapi.GetMeResponseObject, error) {
	principal, _ := auth.PrincipalOf(ctx)
	grant := access.GrantOf(ctx)
	me := meAnswer{
		Principal: principal.Subject, Roles: grant.Roles(), Permissions: grant.Permissions(),
		Scope: map[access.Permission][]scopePartAnswer{}, ExpiresAt: event.FormatTime(principal.ExpiresAt.UTC()),
	}
	for _, p := range me.Permissions {
		if scope := grant.Scope(p); !scope.IsEverything() {
			for _, part := range scope.Parts() {
				me.Scope[p] = append(me.Scope[p], scopePartAnswer(part))
			}
		}
	}
	return jsonAnswer(me)
}
