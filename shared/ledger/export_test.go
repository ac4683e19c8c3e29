package ledger

// StartAt makes every new item begin at this revision.
func (l *Ledger) StartAt(revision int64) { l.start = func() int64 { return revision } }
