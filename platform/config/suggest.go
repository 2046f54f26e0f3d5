package config

import "strings"

// didYouMean is ", did you mean …?" with the candidate nearest to name, or nothing where none is near.
func didYouMean(name string, candidates []string) string {
	if best := Nearest(name, candidates); best != "" {
		return ", did you mean " + best + "?"
	}
	return ""
}

// Nearest is the candidate that name was most likely meant to be: the one with the smallest edit
// distance, of at most a third of its length; else the only one that ends in name after a dot or an
// underscore. It is "" where nothing is near.
func Nearest(name string, candidates []string) string {
	best, least := "", 1<<30
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if d < least && d <= max(1, len(c)/3) {
			best, least = c, d
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		if strings.HasSuffix(c, "."+name) || strings.HasSuffix(c, "_"+name) {
			if best != "" {
				return ""
			}
			best = c
		}
	}
	return best
}

// distance is the Levenshtein distance of two strings, byte by byte.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
