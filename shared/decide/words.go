package decide

// words say each Reason in a sentence.
var words = map[Reason]string{
	Excluded:      "The object is outside the rule: its prefix, globs, tags or sizes leave it out, or it is a directory marker.",
	Existing:      "The object is older than the rule, which takes only newer ones (existing_objects: false).",
	LowerPriority: "A rule of higher priority owns the destination key.",
	Echo:          "The object is a replica whose content already passed the destination's bucket.",
	Archived:      "The object is in an archive: it is copied when it is restored.",
	DeletedThere:  "The replica was deleted on the other side of the pair, which is not undone.",
	InSync:        "The destination holds our copy of this very object.",
	Identical:     "Somebody else wrote the destination, with the same content and no earlier.",
	DestNewer:     "Somebody else wrote the destination, and later (conflict: newer-wins).",
	DestExists:    "The destination has an object, and the rule never overwrites (conflict: skip-if-dest-exists).",
	TagsDiffer:    "The destination holds our copy of this very object, with other tags; nothing says whose are newer, so they stay (conflict: source-wins settles it).",
	DeletesOff:    "The source is gone, and the rule keeps replicas (replicate_deletes: false).",
	NotOurs:       "The source is gone; what is at the destination was not written by this rule, or somebody changed it since.",
	Lifecycle:     "A lifecycle rule removed the source, and the rule keeps replicas then (replicate_lifecycle_deletes: false).",
	Paused:        "The rule is paused; resuming it starts a full run, which makes up for what it missed.",
	Transferring:  "The object is large and is being copied by parts; the replica appears when all of them are there.",
	Closed:        "The rule's window is closed, outside of which nothing moves; a full run begins with the next one.",
	Limited:       "The rule's limits let no more through for now; it is tried again by itself.",
	Busy:          "Another worker is at the object at this moment, or may be about to record its copy.",
	Reappeared:    "A run was to delete the object, and found none to be deleted at its second look.",
	Held:          "Too many deletes came at once; the next run decides, under its limit (max_deletes).",

	Missing:  "The destination has no such object.",
	Changed:  "The source changed since our copy.",
	Newer:    "Somebody else wrote the destination, and earlier than the source.",
	Forced:   "Somebody else wrote the destination, and the rule lets the source win (conflict: source-wins).",
	Priority: "The destination holds the replica of a rule of lower priority.",
	Damaged:  "The destination holds our copy of this very object, and yet a comparison found it to be another: it was damaged.",
	LockOnly: "The destination holds our copy of this very object, and holds it less: the source's retention or legal hold exceeds its own.",
	TagsOnly: "The destination holds our copy of this very object; only the tags differ, and the source's count.",
	Adopted:  "Another replication left this replica of the source, and it is the rule's own now: deletes reach it.",
	Removed:  "The source is gone, and what is at the destination is ours.",
	Gone:     "Neither side has the object.",
}

// Sentence says the reason to people.
func (r Reason) Sentence() string { return words[r] }
