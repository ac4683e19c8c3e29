package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/run"
)

const (
	// piece is how many bytes one read of a side asks for. A worker that dies
	// loses no more of an object.
	piece = 64 << 20
	// chunk is how many bytes of each side are in memory, for each object.
	chunk = 64 << 10
	// maxBreaks is how often in a row a read may break off before anything came.
	maxBreaks = 3
)

// errChanged says that a side is not what was looked at any more.
var errChanged = errors.New("it changed while it was read")

var chunks = sync.Pool{New: func() any { b := make([]byte, 2*chunk); return &b }}

// proveByBytes reads both sides, from where an earlier attempt or an earlier
// worker came to, as long as both still have their tags.
func (c Check) proveByBytes(ctx context.Context, o replicate.Sighting, s, d object.Detail, before attempt, a *attempt) proof {
	if was := before.apart; was != nil && was.source == s.ETag && was.dest == d.ETag {
		a.apart, a.bytes = was, was.at
		return differentAt(was.at)
	}
	key := strings.TrimPrefix(o.Source.Key, c.Rule.Source.Prefix)
	done := int64(0)
	if p := c.Resume(key); p.Source == s.ETag && p.Dest == d.ETag && p.Done <= s.Size {
		done, a.bytes = p.Done, p.Done
	}
	for breaks := 0; done < s.Size; {
		want := min(piece, s.Size-done)
		leave, err := c.Limits.Enter(ctx, c.Rule.Name, c.Rule.Limits, want)
		if err != nil {
			a.stopped = err
			return proof{err: err}
		}
		n, same, err := c.comparePiece(ctx, o, s.ETag, d.ETag, done, want, leave)
		done += n
		a.bytes = done
		switch {
		case !same:
			a.apart = &apart{s.ETag, d.ETag, done}
			return differentAt(done)
		case object.ClassOf(err) == object.Premise:
			return proof{err: errChanged}
		case err != nil && (ctx.Err() != nil || object.ClassOf(err) == object.Permanent):
			return proof{err: err}
		case err != nil && n == 0:
			if breaks++; breaks == maxBreaks {
				return proof{err: err}
			}
		default:
			breaks = 0
			if s.Size > piece {
				c.Note(run.Partial{Key: key, Source: s.ETag, Dest: d.ETag, Done: done})
			}
		}
	}
	return proof{verdict: alike, reason: byBytes, why: "every byte is equal"}
}

func differentAt(offset int64) proof {
	return proof{verdict: different, reason: byBytes, why: fmt.Sprintf("the bytes differ, first at offset %d", offset)}
}

// comparePiece reads n bytes of both sides from offset on, and answers how many
// are the same: all of them, or those before the first difference or before the
// error. In the end it leaves what the limits let it in to.
func (c Check) comparePiece(ctx context.Context, o replicate.Sighting, sourceTag, destTag string, offset, n int64, leave func()) (equal int64, same bool, err error) {
	defer leave()
	source, err := c.Objects.Read(ctx, o.Source, sourceTag, offset, n)
	if err != nil {
		return 0, true, err
	}
	defer source.Close()
	dest, err := c.Objects.Read(ctx, o.Match.Dest, destTag, offset, n)
	if err != nil {
		return 0, true, err
	}
	defer dest.Close()
	buffer := chunks.Get().(*[]byte)
	defer chunks.Put(buffer)
	for equal < n {
		length := min(chunk, n-equal)
		left, right := (*buffer)[:length], (*buffer)[chunk:chunk+length]
		fromSource, sourceErr := io.ReadFull(source, left)
		fromDest, destErr := io.ReadFull(dest, right)
		both := min(fromSource, fromDest)
		if !bytes.Equal(left[:both], right[:both]) {
			return equal + firstDifference(left, right), false, nil
		}
		equal += int64(both)
		if sourceErr != nil {
			return equal, true, sourceErr
		}
		if destErr != nil {
			return equal, true, destErr
		}
	}
	return equal, true, nil
}

func firstDifference(a, b []byte) int64 {
	for i := range a {
		if a[i] != b[i] {
			return int64(i)
		}
	}
	return int64(len(a))
}
