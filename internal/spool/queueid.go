package spool

import (
	"fmt"
	"strings"
)

// isQueueFileName reports whether a name can be that of a message: mail_queue_id_ok in mail_queue.c.
func isQueueFileName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_':
		default:
			return false
		}
	}
	return name != "" && len(name) <= 255
}

// hashedPath returns the path of a message's file below a queue directory with hash directories of the given
// depth: mail_queue_dir in mail_queue.c.
func hashedPath(id string, depth int) string {
	if depth == 0 {
		return id
	}
	key := hashKey(id)
	var path strings.Builder
	for i := range depth {
		if i < len(key) {
			path.WriteByte(key[i])
		} else {
			path.WriteByte('_') // dir_forest.c
		}
		path.WriteByte('/')
	}
	path.WriteString(id)
	return path.String()
}

// hashDir returns the hash directory of a message, of which the depth is at least 1.
func hashDir(id string, depth int) string { return strings.TrimSuffix(hashedPath(id, depth), "/"+id) }

// queueIDDigits are the digits of long queue IDs: safe_ultostr.c.
const queueIDDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

// hashKey returns what the hash directories of a message are named after: its ID or, if that is a long one, its
// microseconds as a short ID begins with them. A long ID is six or more digits of seconds, four of microseconds,
// a z, and the inode number: mail_queue.h.
func hashKey(id string) string {
	const secondsAndMicroseconds, microsecondsOnly = 10, 4
	separator := strings.LastIndexByte(id, 'z')
	if separator < secondsAndMicroseconds {
		return id
	}
	microseconds := 0
	for _, c := range []byte(id[separator-microsecondsOnly : separator]) {
		digit := strings.IndexByte(queueIDDigits, c)
		if digit < 0 {
			microseconds = 0
			break
		}
		microseconds = microseconds*len(queueIDDigits) + digit
	}
	return fmt.Sprintf("%05X", microseconds)
}
