package source

import (
	"io"
	"os"
	"testing"
)

func TestHasListing(t *testing.T) {
	tests := []struct {
		name, text string
		want       bool
	}{
		{"a listing", `{"queue_name": "deferred", "queue_id": "A"}` + "\n", true},
		{"a text listing", "-Queue ID-  --Size-- ----Arrival Time----", true},
		{"a text listing with long queue IDs", "----Queue ID----  --Size-- ----Arrival Time----", true},
		{"a snapshot", "{\n \"format\": \"postfix-queue-snapshot\"", true},
		{"host names", "mx1.example.org\nmx2.example.org\n", false},
		{"other JSON", `{"queue": 1}`, false},
		{"nothing yet", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := w.WriteString(tt.text); err != nil {
				t.Fatal(err)
			}
			if got := HasListing(r); got != tt.want {
				t.Errorf("got %v", got)
			}
			w.Close()
			if left, err := io.ReadAll(r); err != nil || string(left) != tt.text {
				t.Errorf("%q is left, %v", left, err)
			}
			if HasListing(r) {
				t.Error("at its end")
			}
		})
	}
	path := t.TempDir() + "/listing"
	writeFile(t, path, `{"queue_name": "deferred"}`, 0o600)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !HasListing(f) {
		t.Error("a file")
	}
	if text, err := io.ReadAll(f); err != nil || len(text) == 0 {
		t.Errorf("%q is left of the file, %v", text, err)
	}
	if HasListing(f) || HasListing(nil) {
		t.Error("a file at its end, or nothing")
	}
}
