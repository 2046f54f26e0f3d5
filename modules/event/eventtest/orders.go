package eventtest

import (
	"bytes"
	_ "embed"
)

// The excerpt's origin and licence are in testdata/README.md.
//
//go:embed testdata/purchase-orders.jsonl
var purchaseOrders string

// PurchaseOrders are some fifty real events, the values of their records, in the order of each item's
// history. Two of them are dated 1948.
func PurchaseOrders() [][]byte {
	return bytes.Split(bytes.TrimSpace([]byte(purchaseOrders)), []byte("\n"))
}
