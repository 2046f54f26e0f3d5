package sample

import (
	"fmt"
	"time"
)

func orders() service    { return service{"order-service", TopicOrders} }
func inventory() service { return service{"inventory-service", TopicInventory} }
func payments() service  { return service{"payment-service", TopicPayments} }
func shipping() service  { return service{"shipping-service", TopicShipments} }

// object is a payload; its members are written in order of name.
type object = map[string]any

func (s *story) about(kind, id string) aggregate { return aggregate{kind, id} }
func (s *story) orderAggregate() aggregate       { return aggregate{"Order", s.order.id} }

// place is the order's beginning; each method below tells one part of what follows and passes on the
// event that causes the next.
func (s *story) place() {
	o := s.order
	placed := s.emit(orders(), "OrderPlaced", s.orderAggregate(), "", o.customer.ID, object{
		"customer": o.customer, "lines": o.lines, "shippingAddress": o.ship,
		"total": amount(o.total), "currency": o.currency, "channel": pick(s.rng, []string{"web", "app", "phone"}),
	})
	s.wait(80*time.Millisecond, 400*time.Millisecond)
	reserved, ok := s.reserve(placed)
	if !ok {
		return
	}
	s.wait(time.Second, 20*time.Second)
	paid, ok := s.pay(reserved)
	if !ok {
		return
	}
	s.wait(100*time.Millisecond, time.Second)
	confirmed := s.emit(orders(), "OrderConfirmed", s.orderAggregate(), paid, "", object{
		"orderId": o.id, "paymentId": o.payment, "reservationId": o.reservation,
		"total": amount(o.total), "currency": o.currency, "promisedDays": 2 + s.rng.IntN(4),
	})
	if s.chance(5) {
		s.wait(2*time.Minute, 3*time.Hour)
		s.cancel(confirmed, "customer_request", o.customer.ID, true)
		return
	}
	s.fulfil(confirmed)
}

// reserve takes the goods from the shelf, after a wait for new stock where there is none.
func (s *story) reserve(cause string) (string, bool) {
	reservation := s.about("Reservation", s.order.reservation)
	if s.chance(8) {
		short := s.order.lines[0]
		missing := s.emit(inventory(), "StockUnavailable", reservation, cause, "", object{
			"orderId": s.order.id, "sku": short.SKU, "requested": short.Quantity,
			"available": s.rng.IntN(short.Quantity), "warehouse": pick(s.rng, warehouses()),
		})
		s.wait(200*time.Millisecond, 2*time.Second)
		backordered := s.emit(orders(), "OrderBackordered", s.orderAggregate(), missing, "", object{
			"orderId": s.order.id, "sku": short.SKU, "expectedInDays": 3 + s.rng.IntN(9),
		})
		s.wait(20*time.Hour, 5*24*time.Hour)
		if s.chance(25) {
			s.cancel(backordered, "backorder_too_long", s.order.customer.ID, false)
			return "", false
		}
		cause = s.replenish(backordered, short)
	}
	return s.emit(inventory(), "InventoryReserved", reservation, cause, "", object{
		"orderId": s.order.id, "warehouse": pick(s.rng, warehouses()),
		"items": quantities(s.order.lines), "holdMinutes": 60,
	}), true
}

// replenish brings new stock to the warehouse.
func (s *story) replenish(cause string, short line) string {
	delivery := s.about("Replenishment", fmt.Sprintf("RP-%s-%s", short.SKU, s.order.id[3:]))
	arrived := s.emit(inventory(), "StockReplenished", delivery, cause, "buyer-03", object{
		"sku": short.SKU, "quantity": 40 + 20*s.rng.IntN(8), "warehouse": pick(s.rng, warehouses()),
		"supplier": pick(s.rng, []string{"Halden Supply", "Orbis Trading", "Mistral SA"}),
	})
	s.wait(100*time.Millisecond, 2*time.Second)
	return arrived
}

// pay authorises and captures the money; a card that is declined is tried once more.
func (s *story) pay(cause string) (string, bool) {
	payment := s.about("Payment", s.order.payment)
	card := object{"brand": pick(s.rng, []string{"visa", "mastercard", "amex"}), "last4": fmt.Sprintf("%04d", s.rng.IntN(10_000))}
	for attempt := 1; attempt <= 2; attempt++ {
		body := object{
			"orderId": s.order.id, "attempt": attempt, "amount": amount(s.order.total),
			"currency": s.order.currency, "card": card,
		}
		if !s.chance(88) {
			body["declineCode"] = pick(s.rng, []string{"insufficient_funds", "expired_card", "do_not_honour"})
			cause = s.emit(payments(), "PaymentDeclined", payment, cause, s.order.customer.ID, body)
			s.wait(time.Minute, 50*time.Minute)
			continue
		}
		body["authorization"] = fmt.Sprintf("AUTH-%06X", s.rng.IntN(1<<24))
		authorised := s.emit(payments(), "PaymentAuthorized", payment, cause, s.order.customer.ID, body)
		return authorised, true
	}
	s.release(s.cancel(cause, "payment_failed", "", false))
	return "", false
}

// fulfil captures the payment, ships the parcel and may take it back.
func (s *story) fulfil(cause string) {
	shipment := s.about("Shipment", s.order.shipment)
	s.wait(time.Hour, 12*time.Hour)
	created := s.emit(shipping(), "ShipmentCreated", shipment, cause, "", object{
		"orderId": s.order.id, "carrier": pick(s.rng, carriers()), "parcels": 1 + len(s.order.lines)/3,
		"warehouse": pick(s.rng, warehouses()), "destination": s.order.ship, "items": quantities(s.order.lines),
	})
	s.wait(30*time.Minute, 4*time.Hour)
	captured := s.emit(payments(), "PaymentCaptured", s.about("Payment", s.order.payment), created, "", object{
		"orderId": s.order.id, "amount": amount(s.order.total), "currency": s.order.currency,
		"fee": amount(s.order.total*19/1000 + 25), "settlement": s.at.AddDate(0, 0, 2).Format(time.DateOnly),
	})
	s.wait(time.Minute, time.Hour)
	dispatched := s.emit(shipping(), "ShipmentDispatched", shipment, captured, fmt.Sprintf("packer-%02d", 1+s.rng.IntN(12)), object{
		"orderId": s.order.id, "trackingNumber": fmt.Sprintf("1Z%010d", s.rng.Int64N(10_000_000_000)),
		"weightGrams": 300 + s.rng.IntN(9000), "service": pick(s.rng, []string{"standard", "express"}), "city": s.order.ship.City,
	})
	s.wait(18*time.Hour, 72*time.Hour)
	if s.chance(10) {
		dispatched = s.emit(shipping(), "ShipmentDelayed", shipment, dispatched, "", object{
			"orderId": s.order.id, "reason": pick(s.rng, []string{"weather", "customs", "address_unclear"}), "delayHours": 12 + s.rng.IntN(60),
		})
		s.wait(12*time.Hour, 72*time.Hour)
	}
	delivered := s.emit(shipping(), "ShipmentDelivered", shipment, dispatched, "", object{
		"orderId": s.order.id, "signedBy": s.order.customer.Name, "attempts": 1 + s.rng.IntN(2), "city": s.order.ship.City,
		"left": pick(s.rng, []string{"door", "neighbour", "locker"}),
	})
	s.wait(time.Second, time.Minute)
	completed := s.emit(orders(), "OrderCompleted", s.orderAggregate(), delivered, "", object{
		"orderId": s.order.id, "shipmentId": s.order.shipment, "total": amount(s.order.total), "currency": s.order.currency,
	})
	if s.chance(8) {
		s.refund(completed)
	}
}

// refund takes one line back and returns its money.
func (s *story) refund(cause string) {
	back := pick(s.rng, s.order.lines)
	s.wait(20*time.Hour, 9*24*time.Hour)
	requested := s.emit(orders(), "ReturnRequested", s.orderAggregate(), cause, s.order.customer.ID, object{
		"orderId": s.order.id, "sku": back.SKU, "quantity": back.Quantity,
		"reason": pick(s.rng, []string{"damaged", "wrong_item", "changed_mind"}),
	})
	s.wait(24*time.Hour, 5*24*time.Hour)
	received := s.emit(inventory(), "ReturnReceived", s.about("Reservation", s.order.reservation), requested, "", object{
		"orderId": s.order.id, "sku": back.SKU, "quantity": back.Quantity, "condition": pick(s.rng, []string{"new", "opened", "broken"}),
	})
	s.wait(time.Minute, 8*time.Hour)
	s.emit(payments(), "PaymentRefunded", s.about("Payment", s.order.payment), received, fmt.Sprintf("agent-%02d", 1+s.rng.IntN(6)), object{
		"orderId": s.order.id, "amount": amount(int(back.UnitPrice) * back.Quantity), "currency": s.order.currency,
		"partial": len(s.order.lines) > 1, "reference": fmt.Sprintf("RF-%06X", s.rng.IntN(1<<24)),
	})
}

// cancel ends the order; where it was paid for and reserved already, both are undone.
func (s *story) cancel(cause, reason, user string, undo bool) string {
	cancelled := s.emit(orders(), "OrderCancelled", s.orderAggregate(), cause, user, object{
		"orderId": s.order.id, "reason": reason, "total": amount(s.order.total), "currency": s.order.currency,
	})
	if !undo {
		return cancelled
	}
	s.wait(100*time.Millisecond, 2*time.Second)
	s.emit(payments(), "PaymentVoided", s.about("Payment", s.order.payment), cancelled, "", object{
		"orderId": s.order.id, "amount": amount(s.order.total), "currency": s.order.currency,
	})
	s.release(cancelled)
	return cancelled
}

// release puts reserved goods back on the shelf.
func (s *story) release(cause string) {
	s.wait(100*time.Millisecond, 2*time.Second)
	s.emit(inventory(), "InventoryReleased", s.about("Reservation", s.order.reservation), cause, "", object{
		"orderId": s.order.id, "items": quantities(s.order.lines),
	})
}

// quantities are an order's lines as a warehouse sees them.
func quantities(lines []line) []object {
	items := make([]object, len(lines))
	for i, l := range lines {
		items[i] = object{"sku": l.SKU, "quantity": l.Quantity}
	}
	return items
}
