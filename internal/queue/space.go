package queue

// Space is what the file system of a queue directory has left for Postfix.
type Space struct {
	FreeBytes  int64
	FreeInodes *int64 // nil: the file system counts none
	ReadOnly   bool   // nothing can be written, by anybody
	// What smtpd compares it with: sizes in blocks of the file system. A limit is 0 if there is none or if it is
	// unknown.
	BlockBytes       int64
	MinFreeBytes     int64 // queue_minfree
	MessageSizeLimit int64 // message_size_limit
}

// reserve is how many times message_size_limit smtpd wants to see free: smtpd_space_multf in smtpd_check.c of Postfix.
const reserve = 1.5

// refuses reports whether smtpd answers MAIL FROM with 452, as smtpd_check_queue in smtpd_check.c does.
func (s *Space) refuses() bool {
	block := max(1, s.BlockBytes)
	free := s.FreeBytes / block
	return s.MinFreeBytes/block >= free || float64(s.MessageSizeLimit/block) >= float64(free)/reserve
}

// exhausted reports whether there is no room for any file: not even sendmail can submit mail then.
func (s *Space) exhausted() bool {
	return s.FreeBytes == 0 || s.FreeInodes != nil && *s.FreeInodes == 0
}

// neededBytes is what must be free for smtpd to accept mail.
func (s *Space) neededBytes() int64 {
	return max(s.MinFreeBytes, int64(reserve*float64(s.MessageSizeLimit)))
}
