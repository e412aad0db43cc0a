package spool

import "fmt"

// sizeRecordCounts reports whether showq of this Postfix version takes the size of a message in maildrop from its
// SIZE record. 3.7.17, 3.8.12, 3.9.6, 3.10.5, 3.11 and later versions do not. An unknown version counts as new.
func sizeRecordCounts(mailVersion string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(mailVersion, "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return false
	}
	if firstFixed, ok := map[int]int{7: 17, 8: 12, 9: 6, 10: 5}[minor]; ok && major == 3 {
		return patch < firstFixed
	}
	return major < 3 || major == 3 && minor < 7
}
