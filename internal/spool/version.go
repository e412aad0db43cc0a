package spool

import (
	"strconv"
	"strings"
)

// sizeRecordCounts reports whether showq of this Postfix version takes the size
// of a message in maildrop from its SIZE record. 3.7.17, 3.8.12, 3.9.6, 3.10.5,
// 3.11 and later versions do not. An unknown version counts as new.
func sizeRecordCounts(mailVersion string) bool {
	firstFixed := map[[2]int]int{{3, 7}: 17, {3, 8}: 12, {3, 9}: 6, {3, 10}: 5}
	parts := strings.FieldsFunc(mailVersion, func(r rune) bool { return r == '.' || r == '-' })
	if len(parts) < 2 {
		return false
	}
	var numbers [3]int
	for i := range min(len(parts), 3) {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			if i < 2 {
				return false
			}
			break
		}
		numbers[i] = n
	}
	release := [2]int{numbers[0], numbers[1]}
	if fixed, ok := firstFixed[release]; ok {
		return numbers[2] < fixed
	}
	return release[0] < 3 || (release[0] == 3 && release[1] < 7)
}
