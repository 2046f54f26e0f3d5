package sample

import (
	"encoding/json"
	"fmt"
)

// product is something that the shop sells; its price is in cents.
type product struct {
	sku, name string
	price     int
}

// person is a customer; addresses come from places.
type person struct{ given, family, mail string }

type place struct{ street, city, postcode, country, currency string }

func products() []product {
	return []product{
		{"KB-2210", "Mechanical keyboard, ISO", 11990}, {"MS-0405", "Vertical mouse", 5450},
		{"MN-2702", "27\" monitor, 4K", 34900}, {"DK-1180", "USB-C dock", 18925},
		{"HD-0900", "Headset, noise cancelling", 22900}, {"CB-0021", "HDMI cable, 2 m", 1290},
		{"ST-0310", "Laptop stand", 4375}, {"WB-1080", "Webcam, 1080p", 6990},
		{"CH-6501", "Charger, 65 W", 3990}, {"LP-0077", "Desk lamp, dimmable", 5995},
		{"CR-3300", "Office chair, mesh", 28900}, {"MT-0012", "Desk mat, felt", 2490},
	}
}

func people() []person {
	return []person{
		{"Ada", "Okafor", "ada.okafor"}, {"Bruno", "Silva", "bruno.silva"}, {"Chiara", "Rossi", "chiara.rossi"},
		{"Daniel", "Weiß", "daniel.weiss"}, {"Elif", "Yıldız", "elif.yildiz"}, {"Fumiko", "Tanaka", "fumiko.tanaka"},
		{"Grace", "O'Neill", "grace.oneill"}, {"Henrik", "Sørensen", "henrik.sorensen"}, {"Inès", "Dupont", "ines.dupont"},
		{"Jonas", "Novák", "jonas.novak"}, {"Kavya", "Iyer", "kavya.iyer"}, {"Łucja", "Zając", "lucja.zajac"},
	}
}

func places() []place {
	return []place{
		{"12 Harbour Road", "Bristol", "BS1 5DB", "GB", "GBP"}, {"Rua Augusta 204", "Lisboa", "1100-053", "PT", "EUR"},
		{"Lindenstraße 8", "Köln", "50674", "DE", "EUR"}, {"14 rue des Carmes", "Nantes", "44000", "FR", "EUR"},
		{"Via Garibaldi 31", "Torino", "10122", "IT", "EUR"}, {"Nørregade 5", "Odense", "5000", "DK", "DKK"},
		{"410 Alder Street", "Portland", "97205", "US", "USD"}, {"Calle Mayor 77", "Zaragoza", "50001", "ES", "EUR"},
	}
}

func carriers() []string   { return []string{"Northwind Parcel", "BlueLine", "Kestrel Express"} }
func warehouses() []string { return []string{"WH-NORTH", "WH-SOUTH", "WH-EAST"} }

// order is what was ordered, by whom, and the numbers that go with it.
type order struct {
	id, reservation, payment, shipment string
	customer                           customer
	lines                              []line
	ship                               address
	total                              int // cents
	currency                           string
}

type customer struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type line struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int    `json:"quantity"`
	UnitPrice amount `json:"unitPrice"`
}

type address struct {
	Street   string `json:"street"`
	City     string `json:"city"`
	Postcode string `json:"postcode"`
	Country  string `json:"country"`
}

// amount is money in cents; as JSON it is a number with two digits of fraction.
type amount int

// MarshalJSON writes 12990 as 129.90.
func (a amount) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%02d", int(a)/100, int(a)%100), nil
}

var _ json.Marshaler = amount(0)

// newOrder draws customer, lines and address. Order numbers hold the day, the number within the seed
// and two random digits, so that two runs hardly meet in one.
func (s *story) newOrder(number uint64) order {
	who, where := s.rng.IntN(len(people())*40), pick(s.rng, places())
	person := people()[who%len(people())]
	tag := fmt.Sprintf("%s-%05d%s", s.at.Format("060102"), number%100_000, fmt.Sprintf("%04X", s.rng.IntN(1<<16)))
	o := order{
		id: "SO-" + tag, reservation: "RS-" + tag, payment: "PY-" + tag, shipment: "SH-" + tag,
		customer: customer{
			ID:    fmt.Sprintf("cust-%04d", 1000+who),
			Name:  person.given + " " + person.family,
			Email: fmt.Sprintf("%s%d@example.com", person.mail, who/len(people())),
		},
		ship:     address{where.street, where.city, where.postcode, where.country},
		currency: where.currency,
	}
	shelf := s.rng.Perm(len(products()))
	for _, i := range shelf[:1+s.rng.IntN(3)] {
		p := products()[i]
		l := line{SKU: p.sku, Name: p.name, Quantity: 1 + s.rng.IntN(3), UnitPrice: amount(p.price)}
		o.lines = append(o.lines, l)
		o.total += l.Quantity * p.price
	}
	return o
}
