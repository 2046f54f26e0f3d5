package event

// maxDigits is how many digits a number may have when it is written out plainly. PostgreSQL's numeric
// holds 131,072 before the point, but then a few bytes of exponent would become 131 KB in each answer.
const maxDigits = 1000

// maxGrown is by how many bytes all numbers of one text may grow when they are written out plainly, which
// is how jsonb prints them: a record of 1 MiB that is nothing but 1e999 would be read back as 170.
const maxGrown = 1 << 20

// maxExponent is where reading an exponent stops counting. It is beyond what any number of digits that
// fits into a record can bring back within maxDigits, and far from overflowing.
const maxExponent = 1 << 40

// decimal is a number's exact value: the digits of whole and frac, with the point between the two, times
// ten to the power of exp.
type decimal struct {
	negative    bool
	whole, frac []byte
	exp         int
}

// number reads a JSON number and writes its canonical spelling.
func (s *scanner) number() bool {
	in, i := s.in, s.pos
	var d decimal
	if in[i] == '-' {
		d.negative = true
		i++
	}
	start := i
	i = skipDigits(in, i)
	d.whole = in[start:i]
	if len(d.whole) == 0 || len(d.whole) > 1 && d.whole[0] == '0' {
		return s.malformed(start, "a number has no digit here, or a zero too many")
	}
	if i == len(in) || in[i] != '.' && in[i]|0x20 != 'e' {
		return s.integer(i, d)
	}
	if in[i] == '.' {
		start = i + 1
		i = skipDigits(in, start)
		if d.frac = in[start:i]; len(d.frac) == 0 {
			return s.malformed(i, "a number's point is followed by no digit")
		}
	}
	if i < len(in) && in[i]|0x20 == 'e' {
		var ok bool
		if i, d.exp, ok = readExponent(in, i+1); !ok {
			return s.malformed(i, "a number's exponent has no digit")
		}
	}
	return s.decimal(i, d)
}

// integer writes a number without point and exponent, which ends at end. Up to 21 digits are canonical
// as they stand.
func (s *scanner) integer(end int, d decimal) bool {
	if len(d.whole) > 21 || d.negative && d.whole[0] == '0' {
		return s.decimal(end, d)
	}
	s.out = append(s.out, s.in[s.pos:end]...)
	s.pos = end
	return true
}

// decimal writes d, which ends at end, unless it is too long.
func (s *scanner) decimal(end int, d decimal) bool {
	point := d.trim()
	plain := d.plainDigits(point)
	if plain > maxDigits {
		return s.fail(NumberOutOfRange, "has more than 1,000 digits when written out plainly")
	}
	start := len(s.out)
	s.out = d.append(s.out, point)
	s.grown += max(plain-(len(s.out)-start), 0)
	if s.grown > maxGrown {
		return s.fail(NumberOutOfRange, "is one of many numbers that would grow by more than 1 MiB in all when written out plainly")
	}
	s.pos = end
	return true
}

func skipDigits(in []byte, i int) int {
	for i < len(in) && in[i]-'0' <= 9 {
		i++
	}
	return i
}

// readExponent reads what follows "e". Beyond maxExponent it only skips digits.
func readExponent(in []byte, i int) (end, exp int, ok bool) {
	negative := false
	if i < len(in) && (in[i] == '+' || in[i] == '-') {
		negative = in[i] == '-'
		i++
	}
	end = skipDigits(in, i)
	for _, c := range in[i:end] {
		if exp < maxExponent {
			exp = exp*10 + int(c-'0')
		}
	}
	if negative {
		exp = -exp
	}
	return end, exp, end > i
}

// plainDigits is how many digits a trimmed d has when it is written out plainly, a zero before the point
// included.
func (d *decimal) plainDigits(point int) int {
	digits := len(d.whole) + len(d.frac)
	if digits == 0 {
		return 1
	}
	return max(point, 1) + max(digits-point, 0)
}

// append appends a trimmed d in the spelling of ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20),
// made from d's own significant digits where ECMAScript takes those of the nearest double.
func (d *decimal) append(dst []byte, point int) []byte {
	digits := len(d.whole) + len(d.frac)
	if digits == 0 {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	switch {
	case digits <= point && point <= 21:
		dst = d.appendDigits(dst, 0, digits)
		return appendZeros(dst, point-digits)
	case 0 < point && point <= 21:
		dst = append(d.appendDigits(dst, 0, point), '.')
		return d.appendDigits(dst, point, digits)
	case -6 < point && point <= 0:
		dst = appendZeros(append(dst, '0', '.'), -point)
		return d.appendDigits(dst, 0, digits)
	}
	dst = d.appendDigits(dst, 0, 1)
	if digits > 1 {
		dst = d.appendDigits(append(dst, '.'), 1, digits)
	}
	return appendExponent(dst, point-1)
}

// trim drops the zeros before the first and after the last significant digit, and says where the point
// stands then, in digits from the first that is left. Nothing is left of a zero, whatever its exponent.
func (d *decimal) trim() (point int) {
	for len(d.whole) > 0 && d.whole[0] == '0' {
		d.whole = d.whole[1:]
	}
	point = len(d.whole)
	if point == 0 {
		for len(d.frac) > 0 && d.frac[0] == '0' {
			d.frac = d.frac[1:]
			point--
		}
	}
	d.frac = trimZeros(d.frac)
	if len(d.frac) == 0 {
		d.whole = trimZeros(d.whole)
	}
	return point + d.exp
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// appendDigits appends the digits of [from, to), counted over whole and frac.
func (d *decimal) appendDigits(dst []byte, from, to int) []byte {
	w := len(d.whole)
	if from < w {
		dst = append(dst, d.whole[from:min(to, w)]...)
	}
	if to > w {
		dst = append(dst, d.frac[max(from-w, 0):to-w]...)
	}
	return dst
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}

// appendExponent appends an exponent of -maxDigits to maxDigits, always with its sign.
func appendExponent(dst []byte, exp int) []byte {
	sign := byte('+')
	if exp < 0 {
		sign, exp = '-', -exp
	}
	return appendInt(append(dst, 'e', sign), int64(exp))
}
