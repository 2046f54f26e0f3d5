package console

import "strings"

// Sparkline draws values as a line of blocks, one character each, as high as the value is beside the largest. A value
// of 0 is a space, and every other one is seen.
func Sparkline(values []int64) string {
	var most int64
	for _, v := range values {
		most = max(most, v)
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		if v <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(blocks[int(float64(v)/float64(most)*7.999)])
	}
	return b.String()
}

// Bar draws a value as a bar that has width cells for most.
func Bar(value, most int64, width int) string {
	if value <= 0 || most <= 0 {
		return ""
	}
	eighths := int(float64(value) / float64(most) * float64(8*width))
	parts := []rune("▏▎▍▌▋▊▉")
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string(parts[rest-1])
	}
	if bar == "" {
		return "▏"
	}
	return bar
}
