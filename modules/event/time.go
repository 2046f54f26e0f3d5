package event

import (
	"errors"
	"time"
)

// What ParseTime says. None quotes the text.
var (
	errTimeForm  = errors.New("must be a date and time with an offset as in RFC 3339, for example 2026-01-31T09:30:00Z")
	errTimeDay   = errors.New("names a day that its month does not have")
	errTimeClock = errors.New("names a time of day or an offset that does not exist")
	errTimeLeap  = errors.New("names a leap second (60), which PostgreSQL would move to the next minute")
	errTimeYear  = errors.New("lies outside the years 0000 to 9999 in UTC")
)

// ParseTime reads a date-time by the grammar of RFC 3339 section 5.6: "T" and "Z" in either case, an
// offset always, any number of fraction digits. Digits finer than a microsecond are cut, not rounded,
// so that no time moves into the future. The answer is in UTC.
//
// time.Parse is not used since it takes more than the grammar (a comma for the point, hours of one
// digit) and less (it refuses "t" and "z"). The error is in our words and does not quote s.
func ParseTime(s string) (time.Time, error) { return parseTime(s) }

func parseTime[T string | []byte](s T) (time.Time, error) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, errTimeForm
	}
	century, year := twoDigits(s[0], s[1]), twoDigits(s[2], s[3])
	month, day := twoDigits(s[5], s[6]), twoDigits(s[8], s[9])
	hour, minute, second := twoDigits(s[11], s[12]), twoDigits(s[14], s[15]), twoDigits(s[17], s[18])
	if century|year|month|day|hour|minute|second < 0 {
		return time.Time{}, errTimeForm
	}
	micros, rest := fraction(s[19:])
	if micros < 0 {
		return time.Time{}, errTimeForm
	}
	offset, err := parseOffset(rest)
	if err != nil {
		return time.Time{}, err
	}
	year += century * 100
	switch {
	case month < 1 || month > 12 || day < 1 || day > daysIn(year, month):
		return time.Time{}, errTimeDay
	case second == 60:
		return time.Time{}, errTimeLeap
	case hour > 23 || minute > 59 || second > 59:
		return time.Time{}, errTimeClock
	}
	t := time.Date(year, time.Month(month), day, hour, minute-offset, second, micros*1000, time.UTC)
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}, errTimeYear
	}
	return t, nil
}

// fraction reads "" or "." and digits: the microseconds, -1 where a point has no digit, and what follows.
func fraction[T string | []byte](s T) (micros int, rest T) {
	if len(s) == 0 || s[0] != '.' {
		return 0, s
	}
	unit, i := 100_000, 1
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		micros += int(s[i]-'0') * unit
		unit /= 10
	}
	if i == 1 {
		return -1, s
	}
	return micros, s[i:]
}

// parseOffset reads the whole of s as a time-offset, in minutes east of UTC.
func parseOffset[T string | []byte](s T) (int, error) {
	if len(s) == 1 && s[0]|0x20 == 'z' {
		return 0, nil
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, errTimeForm
	}
	hours, minutes := twoDigits(s[1], s[2]), twoDigits(s[4], s[5])
	if hours|minutes < 0 {
		return 0, errTimeForm
	}
	if hours > 23 || minutes > 59 {
		return 0, errTimeClock
	}
	if s[0] == '-' {
		return -(hours*60 + minutes), nil
	}
	return hours*60 + minutes, nil
}

// twoDigits is the number that two decimal digits write, or negative.
func twoDigits(a, b byte) int {
	a, b = a-'0', b-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// FormatTime is the one spelling of a time, everywhere: UTC, "Z", always six digits of fraction, so
// that times also sort as text. It cuts what is finer than a microsecond. The year MUST be of 0 to 9999.
func FormatTime(t time.Time) string {
	var text [len("2006-01-02T15:04:05.000000Z")]byte // grows no slice
	return string(AppendTime(text[:0], t))
}

// AppendTime appends FormatTime's spelling to dst.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwo(dst, year/100)
	dst = appendTwo(dst, year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	micros := t.Nanosecond() / 1000
	dst = appendTwo(append(dst, '.'), micros/10_000)
	dst = appendTwo(dst, micros/100%100)
	dst = appendTwo(dst, micros%100)
	return append(dst, 'Z')
}

func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}
