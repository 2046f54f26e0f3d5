package query

import (
	"slices"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
)

// fieldsOf reads the members that are asked for; nil for all.
func fieldsOf(given *httpapi.Fields) ([]string, error) {
	if given == nil {
		return nil, nil
	}
	names := strings.Split(*given, ",")
	for _, name := range names {
		if !slices.Contains(event.StoredMembers(), name) {
			return nil, invalid("fields", "must be names with commas between them, of: "+strings.Join(event.StoredMembers(), ", "))
		}
	}
	return names, nil
}

// maxColumns is how many columns a CSV may have.
const maxColumns = 50

// columnsOf reads the columns that are asked for; nil for the usual ones.
func columnsOf(given *string) ([]string, error) {
	if given == nil {
		return nil, nil
	}
	columns := strings.Split(*given, ",")
	if len(columns) > maxColumns {
		return nil, invalid("columns", "must be 50 at most")
	}
	for _, column := range columns {
		names := strings.Split(column, ".")
		if !slices.Contains(event.StoredMembers(), names[0]) || slices.Contains(names, "") {
			return nil, invalid("columns", "must be members of an event, or paths into them as payload.total, with commas between them; members are: "+
				strings.Join(event.StoredMembers(), ", "))
		}
	}
	return columns, nil
}
