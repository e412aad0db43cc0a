package queue

// idList collects queue IDs for programs such as postsuper, one a line.
type idList struct {
	text    []byte
	unknown bool // a message has no ID that may be passed on
}

func (l *idList) add(id string) {
	if !isQueueID(id) {
		l.unknown = true
		return
	}
	l.text = append(append(l.text, id...), '\n')
}

// minQueueID is the length of the shortest queue ID: five digits for the microseconds, and an inode. It keeps out ALL,
// which postsuper takes for every message.
const minQueueID = 6

// isQueueID reports whether a text can be a queue ID, short or long. It comes from a listing, perhaps.
func isQueueID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(id) >= minQueueID
}
