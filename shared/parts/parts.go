// Package parts is the arithmetic of an object that is copied by parts: how
// large they are, which bytes each has, and what the whole's tag and checksum
// follow from.
package parts

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
)

// What S3 allows.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	MaxCount  = 10_000
	MinSize   = 5 << 20            // of all parts but the last, in bytes
	MaxSize   = 5 << 30            // of a part
	MaxObject = MaxCount * MaxSize // 50 TB
)

// usual is how large parts are where the object is not too large for it. What
// goes with a part costs about 30 ms and a request; S3 copies so many bytes in
// a second. See infra/decisions/10-large-objects-by-parts.md.
const usual = 64 << 20

// Layout cuts an object into parts of equal size, the last of which may be
// smaller. They are numbered from 1.
type Layout struct {
	Size     int64 // of the object
	PartSize int64
}

// Of is the layout of an object of this size: parts of 64 MiB, or as many as
// there may be. The size must be positive and at most MaxObject.
func Of(size int64) (Layout, error) {
	if size < 1 || size > MaxObject {
		return Layout{}, fmt.Errorf("an object of %d bytes cannot be cut into parts: it must have from 1 to %d", size, int64(MaxObject))
	}
	const whole = 1 << 20 // some stores want whole MiB
	least := (size + MaxCount - 1) / MaxCount
	return Layout{Size: size, PartSize: min(MaxSize, max(usual, (least+whole-1)/whole*whole))}, nil
}

// Count is how many parts there are.
func (l Layout) Count() int { return int((l.Size + l.PartSize - 1) / l.PartSize) }

// Bytes are the first and the last byte of a part, counted from 0.
func (l Layout) Bytes(number int) (first, last int64) {
	first = int64(number-1) * l.PartSize
	return first, min(first+l.PartSize, l.Size) - 1
}

// ETag is the tag that S3 gives to an object of parts with these tags, in their
// order. False where it cannot be known: the tag of a part is no MD5, as under
// SSE-KMS.
func ETag(tags []string) (string, bool) {
	sum := md5.New()
	for _, tag := range tags {
		b, err := hex.DecodeString(tag)
		if err != nil || len(b) != md5.Size {
			return "", false
		}
		sum.Write(b)
	}
	return fmt.Sprintf("%x-%d", sum.Sum(nil), len(tags)), len(tags) > 0
}
