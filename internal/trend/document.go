package trend

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
)

const (
	formatVersion = 1
	maxSeries     = 64
	maxBytes      = 1 << 20 // of a document, more than its series can have
)

// document is what a File has in it. It has no name of an instance and no word of a filter.
type document struct {
	Version int            `json:"postfix_queue_state"`
	BootID  string         `json:"boot"`
	Series  map[Key]series `json:"series"`
}

// Key tells series apart. It is a hash.
type Key string

const keyBytes = 16

// NewKey returns the key of the messages of an instance that a filter admits. queueDir is set if --queue-directory names
// the queue, and empty otherwise.
func NewKey(i queue.Instance, queueDir string, f queue.Filter) Key {
	hash := fnv.New128a() // nobody gains from a collision; package crypto would cost 32 MiB of address space
	fmt.Fprintf(hash, "%q %q %q %q %q %q %q %q %q %d", i.Name, i.ConfigDir, queueDir, f.Queues,
		f.Senders.Texts(), f.Logins.Texts(), f.Clients.Texts(), f.Recipients.Texts(), f.Reasons.Texts(), f.OlderThan)
	return Key(hex.EncodeToString(hash.Sum(nil)))
}

// record adds the numbers of messages at a moment. It returns the growth of each if that is known.
func (d document) record(now Clock, emails map[Key]int64) (document, map[Key]queue.Growth) {
	next := document{Version: formatVersion, BootID: now.BootID, Series: map[Key]series{}}
	if d.BootID == now.BootID {
		maps.Copy(next.Series, d.Series)
	}
	maps.DeleteFunc(next.Series, func(_ Key, s series) bool { return !s[len(s)-1].comparable(now.sample(0)) })
	growth := map[Key]queue.Growth{}
	for key, n := range emails {
		next.Series[key] = next.Series[key].add(now.sample(n))
		if g, known := next.Series[key].growth(); known {
			growth[key] = g
		}
	}
	next.forget()
	return next, growth
}

// forget drops the series that have waited longest for another sample if there are too many.
func (d document) forget() {
	newest := func(key Key) int64 { return d.Series[key][len(d.Series[key])-1].BootMS }
	keys := slices.SortedFunc(maps.Keys(d.Series), func(a, b Key) int {
		return cmp.Or(cmp.Compare(newest(b), newest(a)), cmp.Compare(a, b))
	})
	for _, key := range keys[min(maxSeries, len(keys)):] {
		delete(d.Series, key)
	}
}

func (d document) encode() ([]byte, error) {
	text, err := json.Marshal(d)
	return append(text, '\n'), err
}

var errNotState = errors.New("it is not a state file of check_postfix_queue, or damaged; remove it, or name another")

// decode reads a document. Whatever it returns without an error, record can take.
func decode(r io.Reader) (document, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return document{}, err
	}
	var d document
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if len(text) > maxBytes || decoder.Decode(&d) != nil || !d.valid() {
		return document{}, errNotState
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return document{}, errNotState
	}
	return d, nil
}

func (d document) valid() bool {
	if d.Version != formatVersion || len(d.BootID) > 64 || len(d.Series) > maxSeries {
		return false
	}
	for key, s := range d.Series {
		if decoded, err := hex.DecodeString(string(key)); err != nil || len(decoded) != keyBytes {
			return false
		}
		inOrder := slices.IsSortedFunc(s, func(a, b sample) int { return cmp.Compare(a.BootMS, b.BootMS) })
		if len(s) == 0 || len(s) > maxSamples || !inOrder || slices.ContainsFunc(s, sample.isAbsurd) {
			return false
		}
	}
	return true
}

// isAbsurd reports whether a number is out of all range, so that a difference might overflow.
func (s sample) isAbsurd() bool {
	const most = 1 << 50
	return min(s.BootMS, s.Emails) < 0 || max(s.BootMS, s.WallMS) > most || s.WallMS < -most
}
