// Package keyspace cuts and walks ordered sets of keys. Keys are compared as S3
// lists them, by their UTF-8 bytes, and are meant without a rule's prefixes, so
// that one range speaks of both sides.
package keyspace

// Range is the keys after After, up to and with Until; where either is empty
// there is no bound. It is what S3's start-after asks for, so a range that was
// walked up to a key goes on with that key as After. The zero value is all
// keys, the empty one included: a folder marker named like the rule's prefix.
type Range struct{ After, Until string }

// Contains reports whether the key lies in r.
func (r Range) Contains(key string) bool {
	return (r.After == "" || key > r.After) && (r.Until == "" || key <= r.Until)
}

// Empty reports whether no key can lie in r.
func (r Range) Empty() bool { return r.Until != "" && r.Until <= r.After }

// Piece is a range and how many keys the last walk met in it.
type Piece struct {
	Range
	Keys int64
}
