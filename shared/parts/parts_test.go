package parts_test

import (
	"crypto/md5"
	"encoding/hex"
	"testing"

	"bucket-replicator/shared/parts"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestPartsAreSizedFromTheObjects(t *testing.T) {
	for name, c := range map[string]struct {
		size, part int64
		count      int
	}{
		"one byte":                            {1, 64 * mib, 1},
		"one part to the byte":                {64 * mib, 64 * mib, 1},
		"one byte more":                       {64*mib + 1, 64 * mib, 2},
		"6 GiB":                               {6 * gib, 64 * mib, 96},
		"the most that 64 MiB parts can hold": {10_000 * 64 * mib, 64 * mib, 10_000},
		"one byte more than that":             {10_000*64*mib + 1, 65 * mib, 9_847},
		"5 TB":                                {5_000_000_000_000, 477 * mib, 9_997},
		"50 TB":                               {50_000_000_000_000, 4769 * mib, 9_999},
		"the largest object":                  {parts.MaxObject, 5 * gib, 10_000},
	} {
		l, err := parts.Of(c.size)
		if err != nil || l.PartSize != c.part || l.Count() != c.count {
			t.Errorf("%s: %d parts of %d bytes, %v; want %d of %d", name, l.Count(), l.PartSize, err, c.count, c.part)
		}
	}
}

func TestWhatCannotBeCut(t *testing.T) {
	for _, size := range []int64{-1, 0, parts.MaxObject + 1} {
		if l, err := parts.Of(size); err == nil {
			t.Errorf("%d bytes: %+v", size, l)
		}
	}
}

func FuzzPartsCoverTheObjectWithinS3sLimits(f *testing.F) {
	for _, size := range []int64{1, 5 * mib, 64*mib - 1, 6 * gib, 5 << 40, parts.MaxObject - 1, parts.MaxObject} {
		f.Add(size)
	}
	f.Fuzz(func(t *testing.T, size int64) {
		l, err := parts.Of(size)
		if err != nil {
			if size > 0 && size <= parts.MaxObject {
				t.Error(err)
			}
			return
		}
		if l.PartSize < parts.MinSize || l.PartSize > parts.MaxSize || l.Count() < 1 || l.Count() > parts.MaxCount {
			t.Fatalf("%d bytes: %d parts of %d", size, l.Count(), l.PartSize)
		}
		next := int64(0)
		for n := 1; n <= l.Count(); n++ {
			first, last := l.Bytes(n)
			if first != next || last < first || last-first >= l.PartSize || n < l.Count() && last-first+1 != l.PartSize {
				t.Fatalf("%d bytes: part %d is %d to %d after %d", size, n, first, last, next)
			}
			next = last + 1
		}
		if next != size {
			t.Fatalf("%d bytes: the parts end at %d", size, next)
		}
	})
}

func TestTheTagOfPartsFollowsFromTheirTags(t *testing.T) {
	tag := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	// md5(md5("a") + md5("b")), computed elsewhere.
	if got, ok := parts.ETag([]string{tag("a"), tag("b")}); !ok || got != "96e024ba2074fe77e8e965ba43a704be-2" {
		t.Errorf("%q, %t", got, ok)
	}
	for name, tags := range map[string][]string{
		"no part":                   nil,
		"a tag that is no MD5":      {tag("a"), "encrypted"},
		"a tag of another length":   {tag("a")[:30]},
		"a tag of parts of its own": {tag("a") + "-2"},
	} {
		if got, ok := parts.ETag(tags); ok {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheChecksumIsS3s(t *testing.T) {
	c := parts.NewCRC64()
	_, _ = c.Write([]byte("123456789"))
	if c.Sum64() != 0xae8b14860a799888 { // the catalogued check value of CRC-64/NVME
		t.Errorf("%x", c.Sum64())
	}
}

func FuzzChecksumsOfPartsJoinToTheWholes(f *testing.F) {
	f.Add([]byte("one text"), []byte(""))
	f.Add([]byte(""), []byte("another"))
	f.Add([]byte("one text"), make([]byte, 1000))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		first, second, whole := parts.NewCRC64(), parts.NewCRC64(), parts.NewCRC64()
		_, _ = first.Write(a)
		_, _ = second.Write(b)
		_, _ = whole.Write(a)
		_, _ = whole.Write(b)
		if got := parts.Joined(first.Sum64(), second.Sum64(), int64(len(b))); got != whole.Sum64() {
			t.Errorf("%x, want %x", got, whole.Sum64())
		}
	})
}
