package auth

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/platform/errs"
)

const maxRoles = 100

var (
	errRoles        = errs.New(errs.Unauthenticated, "invalid_token", "the token's roles are neither a text nor a list of texts")
	errTooManyRoles = errs.New(errs.Unauthenticated, "invalid_token", "the token names more than %d roles; let the issuer leave out those of other services", maxRoles)
	errRole         = errs.New(errs.Unauthenticated, "invalid_token", "the token names a role of more than %d characters, or with control characters", maxName)
)

// rolesIn returns the roles that a token's payload lists at path. A text is a list that is split at spaces, like
// the OAuth claim scope (RFC 8693, section 4.2). A token without the claim, or with null, has no roles. Any
// other type is an error: a caller who lacks a role should learn that the issuer is set up wrongly.
func rolesIn(payload []byte, path string) ([]string, error) {
	value := member(payload, path)
	var roles []string
	switch value.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var text string
		if json.Unmarshal(value, &text) != nil {
			return nil, errRoles
		}
		roles = strings.Fields(text)
	default:
		var list []*string // pointers, since null would pass for ""
		if json.Unmarshal(value, &list) != nil {
			return nil, errRoles
		}
		for _, role := range list {
			if role == nil {
				return nil, errRoles
			}
			roles = append(roles, *role)
		}
	}
	if len(roles) > maxRoles {
		return nil, errTooManyRoles
	}
	for _, role := range roles {
		if !isName(role) {
			return nil, errRole
		}
	}
	return roles, nil
}

// member returns the value at path in a JSON object, or nil where there is none. A member with the whole path
// as its name comes first, because names such as https://example.com/roles have dots in them.
func member(object jsontext.Value, path string) jsontext.Value {
	var members map[string]jsontext.Value
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	if value, ok := members[path]; ok {
		return value
	}
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		return nil
	}
	return member(members[name], rest)
}
