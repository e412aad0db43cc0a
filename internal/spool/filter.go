package spool

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// A FILTER action puts the content filter behind the content of a message. Few messages have one, so that part of a
// file is read only if something depends on it.

// lacksTransport reports whether mail waits for a transport that neither its reason nor what was read of its file names.
func lacksTransport(m *queue.Message) bool {
	return m.ContentFilter == "" && slices.ContainsFunc(m.Recipients, func(r queue.Recipient) bool {
		return strings.HasSuffix(r.Reason, "mail transport unavailable") // qmgr_transport.c
	})
}

// readFilter returns the content filter of a queue file, wherever it is in there.
func (w *recordWindow) readFilter(f queueFile, rules envelopeRules) (string, error) {
	rules.readAll = true
	var m queue.Message
	_, err := w.readEnvelope(f, rules, &m)
	return m.ContentFilter, err
}

// addFilters adds the content filter to messages that wait for a transport which nothing else names.
func (s *Spool) addFilters(ctx context.Context, messages []*queue.Message, rules envelopeRules) error {
	byQueue := make(map[queue.Name][]*queue.Message)
	for _, m := range messages {
		if lacksTransport(m) {
			byQueue[m.Queue] = append(byQueue[m.Queue], m)
		}
	}
	for name, messages := range byQueue {
		dir, err := openQueueDir(filepath.Join(s.Dir, string(name)))
		if err != nil {
			return err
		}
		err = newHashedFiles(dir).addFilters(ctx, messages, rules)
		dir.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *hashedFiles) addFilters(ctx context.Context, messages []*queue.Message, rules envelopeRules) error {
	if !h.dir.isOpen() {
		return nil
	}
	var window recordWindow
	for _, m := range messages {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fd, err := h.open(m.ID, usualHashDepth)
		if err != nil {
			return err
		}
		if !fd.isOpen() {
			continue // delivered meanwhile
		}
		var stat unix.Stat_t
		if err = unix.Fstat(int(fd), &stat); err == nil && isReady(&stat) {
			m.ContentFilter, err = window.readFilter(queueFile{ReaderAt: fd, sizeBytes: stat.Size}, rules)
		}
		fd.close()
		if err != nil {
			return h.named(m.ID, h.lastDepth, err)
		}
	}
	return nil
}
