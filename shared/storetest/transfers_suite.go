package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/transfer"
)

// TransfersFixture is an empty store of transfers.
type TransfersFixture struct {
	Transfers interface {
		transfer.Store
		TransferPage(ctx context.Context, rule string, after object.TransferPlace, limit int) ([]object.Transfer, error)
	}
	// LoseNextAnswer lets the next request take effect and loses its answer.
	LoseNextAnswer func()
}

// TestTransfers is what the store of transfers promises. Every subtest gets a
// store of its own from open.
func TestTransfers(t *testing.T, open func(t *testing.T) TransfersFixture) {
	for name, test := range map[string]func(*testing.T, TransfersFixture){
		"every field of a transfer comes back":       everyFieldOfATransferComesBack,
		"a transfer that there is not":               aTransferThatThereIsNot,
		"put wants the transfer as it was seen":      putTransferConditions,
		"of twenty racing puts one wins":             racingTransfers,
		"touch wants the very transfer":              touchConditions,
		"remove takes the very transfer":             removeTakesTheVeryTransfer,
		"the silent are listed, the longest first":   silentAreListed,
		"a rule's transfers, page by page":           aRulesTransfersPageByPage,
		"who may claim a part":                       claimPartConditions,
		"of twenty racing claims of a part one wins": racingPartClaims,
		"finish wants the last fence":                finishConditions,
		"a part that is given back is free":          aPartGivenBack,
		"parts come in the order of their numbers":   partsInOrder,
		"parts are those of the very transfer":       partsOfTheVeryTransfer,
		"a lost answer":                              lostAnswersOfTransfers,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var destination = object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "replicas"}, Key: "ü/large \xff"}

func fullTransfer() object.Transfer {
	return object.Transfer{
		ID: "t-1", Revision: 1, Rule: "mirror", Run: 7, Existing: true,
		From:    object.Ref{Bucket: object.Bucket{Backend: "elsewhere", Name: "sources"}, Key: "large \xfe"},
		To:      destination,
		Damaged: object.Dest{ETag: "e-1", LastModified: day.Add(-time.Second), VersionID: "w"},
		Source:  object.Source{ETag: "e-2", LastModified: day, VersionID: "v", Sequencer: "00A", RequestID: "R"},
		EventAt: day.Add(time.Second), Size: 1 << 45, PartSize: 1 << 30,
		Upload: object.Upload{
			To: destination, ID: "u/1+2", Checksum: "CRC64NVME", SourceVersionID: "v", SourceChecksum: "CRC64NVME:AAAAAAAAAAA=", Lost: []string{"checksum"}, Asked: []string{"sse=AES256"},
		},
		Openings: []time.Time{day.Add(2 * time.Second), day.Add(3 * time.Second)}, Opener: "worker-1", Leftovers: []string{"u-0"},
		BegunAt: day.Add(4 * time.Second), AliveUntil: day.Add(time.Minute), Tries: 3, LastError: "SlowDown",
		Counted: object.Counted{At: day.Add(5 * time.Second), Parts: 2, Bytes: 2 << 30}, ProgressAt: day.Add(6 * time.Second), Held: true,
	}
}

// begunTransfer is a transfer to a key, stored.
func begunTransfer(t *testing.T, f TransfersFixture, id, key string) object.Transfer {
	t.Helper()
	tr := object.Transfer{ID: id, Rule: "mirror", From: destination, To: object.Ref{Bucket: destination.Bucket, Key: key}, Size: 10, PartSize: 5, BegunAt: day, AliveUntil: day}
	return mustPutTransfer(t, f, object.Transfer{}, tr)
}

func mustPutTransfer(t *testing.T, f TransfersFixture, seen, next object.Transfer) object.Transfer {
	t.Helper()
	revision, err := f.Transfers.PutTransfer(t.Context(), seen, next)
	if err != nil {
		t.Fatal(err)
	}
	next.Revision = revision
	return next
}

func wantTransfer(t *testing.T, f TransfersFixture, want object.Transfer) {
	t.Helper()
	got, err := f.Transfers.Transfer(t.Context(), want.To)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("stored %+v, %v\nwant   %+v", got, err, want)
	}
}

func wantPremise(t *testing.T, what string, err error) {
	t.Helper()
	if object.ClassOf(err) != object.Premise || err == nil {
		t.Errorf("%s: %v, want a Premise", what, err)
	}
}

func everyFieldOfATransferComesBack(t *testing.T, f TransfersFixture) {
	full := fullTransfer()
	everyFieldIsSet(t, reflect.ValueOf(full), "Transfer")
	mustPutTransfer(t, f, object.Transfer{}, full)
	wantTransfer(t, f, full)
	p, err := f.Transfers.ClaimPart(t.Context(), full, 3, "worker", day, day.Add(time.Minute))
	want := transfer.Part{Number: 3, Owner: "worker", LeasedUntil: day.Add(time.Minute), Fence: 1}
	if err != nil || p != want {
		t.Errorf("claimed %+v, %v; want %+v", p, err, want)
	}
	p.PartCopied = object.PartCopied{ETag: "e", Checksum: "c", CRC64: "s"}
	if err := f.Transfers.FinishPart(t.Context(), full, p); err != nil {
		t.Fatal(err)
	}
	p.Owner, p.LeasedUntil = "", time.Time{}
	if got, err := f.Transfers.Parts(t.Context(), full); err != nil || len(got) != 1 || got[0] != p {
		t.Errorf("parts %+v, %v; want %+v", got, err, p)
	}
}

func aTransferThatThereIsNot(t *testing.T, f TransfersFixture) {
	wantTransfer(t, f, object.Transfer{})
	none := object.Transfer{ID: "t-1", To: destination}
	if found, err := f.Transfers.Parts(t.Context(), none); err != nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	_, err := f.Transfers.TouchTransfer(t.Context(), none, transfer.Touch{AliveUntil: day, Anew: true})
	wantPremise(t, "touch", err)
	if err := f.Transfers.RemoveTransfer(t.Context(), none); err != nil {
		t.Error(err)
	}
}

func putTransferConditions(t *testing.T, f TransfersFixture) {
	ctx := t.Context()
	first := begunTransfer(t, f, "t-1", "k")
	other := first
	other.ID = "t-2"
	_, err := f.Transfers.PutTransfer(ctx, object.Transfer{}, other)
	wantPremise(t, "another where there is one", err)
	wrong := first
	wrong.Revision++
	_, err = f.Transfers.PutTransfer(ctx, wrong, other)
	wantPremise(t, "over another revision", err)
	wrong = first
	wrong.ID = "t-0"
	_, err = f.Transfers.PutTransfer(ctx, wrong, other)
	wantPremise(t, "over another transfer", err)
	wantTransfer(t, f, first)
	second := mustPutTransfer(t, f, first, other)
	if second.Revision == first.Revision {
		t.Error("the revision stayed")
	}
	wantTransfer(t, f, second)
}

func racingTransfers(t *testing.T, f TransfersFixture) {
	seen := begunTransfer(t, f, "t-1", "k")
	race(t, func(n int) error {
		next := seen
		next.ID = fmt.Sprint("t-1", n)
		_, err := f.Transfers.PutTransfer(t.Context(), seen, next)
		return err
	})
}

func touchConditions(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	tr.Tries, tr.LastError, tr.AliveUntil = 4, "SlowDown", day.Add(time.Minute)
	tr = mustPutTransfer(t, f, begunAs(tr), tr)
	old := tr
	old.Revision = 77 // it does not matter
	touch := func(what string, touch transfer.Touch) {
		t.Helper()
		touched, err := f.Transfers.TouchTransfer(t.Context(), old, touch)
		if err != nil || !reflect.DeepEqual(touched, tr) {
			t.Errorf("%s answers %+v, %v\nwant %+v", what, touched, err, tr)
		}
		wantTransfer(t, f, tr)
	}
	counted := object.Counted{At: day.Add(time.Minute), Parts: 1, Bytes: 5}
	tr.AliveUntil, tr.Held, tr.Counted, tr.ProgressAt = day.Add(2*time.Minute), true, counted, day.Add(time.Second)
	touch("all that is told", transfer.Touch{AliveUntil: tr.AliveUntil, Held: true, Counted: counted, ProgressAt: tr.ProgressAt})
	tr.AliveUntil, tr.Held = day.Add(3*time.Minute), false
	touch("nothing but life", transfer.Touch{AliveUntil: tr.AliveUntil})
	tr.AliveUntil, tr.Tries, tr.LastError = day.Add(4*time.Minute), 0, ""
	touch("anew", transfer.Touch{AliveUntil: tr.AliveUntil, Anew: true})
	old.ID = "t-0"
	_, err := f.Transfers.TouchTransfer(t.Context(), old, transfer.Touch{AliveUntil: day})
	wantPremise(t, "touch of another", err)
	wantTransfer(t, f, tr)
}

// begunAs is what begunTransfer stored of tr.
func begunAs(tr object.Transfer) object.Transfer {
	return object.Transfer{ID: tr.ID, Revision: tr.Revision, To: tr.To}
}

func removeTakesTheVeryTransfer(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	other := tr
	other.ID = "t-0"
	if err := f.Transfers.RemoveTransfer(t.Context(), other); err != nil {
		t.Error(err)
	}
	wantTransfer(t, f, tr)
	old := tr
	old.Revision = 77
	for range 2 {
		if err := f.Transfers.RemoveTransfer(t.Context(), old); err != nil {
			t.Error(err)
		}
	}
	if got, err := f.Transfers.Transfer(t.Context(), tr.To); err != nil || got.ID != "" {
		t.Errorf("left %+v, %v", got, err)
	}
}

func silentAreListed(t *testing.T, f TransfersFixture) {
	for n := range 5 {
		tr := object.Transfer{ID: fmt.Sprint("t-", n), To: object.Ref{Bucket: destination.Bucket, Key: fmt.Sprint("k", n)}, AliveUntil: day.Add(-time.Duration(n) * time.Minute)}
		mustPutTransfer(t, f, object.Transfer{}, tr)
	}
	for limit, want := range map[int][]string{0: {"t-4", "t-3", "t-2"}, 2: {"t-4", "t-3"}} {
		found, err := f.Transfers.SilentTransfers(t.Context(), day.Add(-time.Minute), limit)
		var ids []string
		for _, tr := range found {
			ids = append(ids, tr.ID)
		}
		if err != nil || !reflect.DeepEqual(ids, want) {
			t.Errorf("limit %d: %v, %v; want %v", limit, ids, err, want)
		}
	}
	found, err := f.Transfers.SilentTransfers(t.Context(), day.Add(-3*time.Minute), 0)
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	wantTransfer(t, f, found[0])
}

// What began at the same time stands in any order, but in the same one on all
// pages.
func aRulesTransfersPageByPage(t *testing.T, f TransfersFixture) {
	want := map[string]bool{}
	for n := range 9 {
		tr := begunAt(n)
		if mustPutTransfer(t, f, object.Transfer{}, tr); tr.Rule == "mirror" {
			want[tr.ID] = true
		}
	}
	for _, limit := range []int{1, 2, 5, 50} {
		seen, after := map[string]bool{}, object.TransferPlace{}
		for {
			page, err := f.Transfers.TransferPage(t.Context(), "mirror", after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("limit %d: %d transfers, %v", limit, len(page), err)
			}
			if len(page) == 0 {
				break
			}
			for _, tr := range page {
				if tr.BegunAt.Before(after.BegunAt) || seen[tr.ID] {
					t.Errorf("limit %d: %s after %v", limit, tr.ID, after)
				}
				seen[tr.ID], after = true, tr.Place()
				wantTransfer(t, f, tr)
			}
		}
		if !reflect.DeepEqual(seen, want) {
			t.Errorf("limit %d: %v, want %v", limit, seen, want)
		}
	}
	// A place whose transfer is over is one still.
	over := begunAt(2)
	if err := f.Transfers.RemoveTransfer(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	if page, err := f.Transfers.TransferPage(t.Context(), "mirror", over.Place(), 50); err != nil || len(page) == 0 || page[0].BegunAt.Before(over.BegunAt) {
		t.Errorf("after one that is over: %+v, %v", page, err)
	}
	if page, err := f.Transfers.TransferPage(t.Context(), "none", object.TransferPlace{}, 50); err != nil || len(page) != 0 {
		t.Errorf("of a rule without: %+v, %v", page, err)
	}
}

// begunAt is one of several transfers of two rules, some of which begin at the
// same time, to keys of any bytes.
func begunAt(n int) object.Transfer {
	tr := object.Transfer{ID: fmt.Sprint("t-", n), Rule: "mirror", To: object.Ref{Bucket: destination.Bucket, Key: fmt.Sprint("k\xff/", n)}, Revision: 1}
	if n%3 == 1 {
		tr.Rule = "other"
	}
	tr.BegunAt, tr.AliveUntil = day.Add(time.Duration(n/4)*time.Minute), day
	return tr
}

func claimPartConditions(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	claim := func(owner string, now time.Time) (transfer.Part, error) {
		return f.Transfers.ClaimPart(t.Context(), tr, 1, owner, now, now.Add(time.Minute))
	}
	for n, owner := range []string{"a", "a", "b"} {
		now := day
		if owner == "b" {
			_, err := claim("b", day.Add(time.Minute-time.Millisecond))
			wantPremise(t, "a part that is leased", err)
			now = day.Add(time.Minute)
		}
		p, err := claim(owner, now)
		if err != nil || p.Fence != int64(n+1) || p.Owner != owner || !p.LeasedUntil.Equal(now.Add(time.Minute)) {
			t.Errorf("claim %d: %+v, %v", n, p, err)
		}
	}
	done := transfer.Part{Number: 1, Fence: 3, PartCopied: object.PartCopied{ETag: "e"}}
	if err := f.Transfers.FinishPart(t.Context(), tr, done); err != nil {
		t.Fatal(err)
	}
	_, err := claim("b", day.Add(time.Hour))
	wantPremise(t, "a part that is done", err)
	if p, err := f.Transfers.ClaimPart(t.Context(), tr, transfer.Completing, "b", day, day.Add(time.Minute)); err != nil || p.Number != transfer.Completing {
		t.Errorf("the turn to complete: %+v, %v", p, err)
	}
}

func racingPartClaims(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	race(t, func(n int) error {
		_, err := f.Transfers.ClaimPart(t.Context(), tr, 1, fmt.Sprint("worker ", n), day, day.Add(time.Minute))
		return err
	})
}

func finishConditions(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	copied := object.PartCopied{ETag: "e"}
	wantPremise(t, "a part nobody claimed", f.Transfers.FinishPart(t.Context(), tr, transfer.Part{Number: 1, Fence: 1, PartCopied: copied}))
	first, err := f.Transfers.ClaimPart(t.Context(), tr, 1, "a", day, day.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Transfers.ClaimPart(t.Context(), tr, 1, "b", day.Add(time.Minute), day.Add(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	first.PartCopied, second.PartCopied = object.PartCopied{ETag: "old"}, copied
	wantPremise(t, "an older fence", f.Transfers.FinishPart(t.Context(), tr, first))
	for range 2 { // as the SDK repeats it
		if err := f.Transfers.FinishPart(t.Context(), tr, second); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.Transfers.Parts(t.Context(), tr); err != nil || len(got) != 1 || got[0].PartCopied != copied || got[0].Owner != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func aPartGivenBack(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	p, err := f.Transfers.ClaimPart(t.Context(), tr, 1, "a", day, day.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Transfers.FinishPart(t.Context(), tr, p); err != nil {
		t.Fatal(err)
	}
	if p, err := f.Transfers.ClaimPart(t.Context(), tr, 1, "b", day, day.Add(time.Minute)); err != nil || p.Fence != 2 || p.Owner != "b" {
		t.Errorf("%+v, %v", p, err)
	}
}

func partsInOrder(t *testing.T, f TransfersFixture) {
	tr := begunTransfer(t, f, "t-1", "k")
	for _, n := range []int{10_000, 2, 1, 999, transfer.Completing} {
		if _, err := f.Transfers.ClaimPart(t.Context(), tr, n, "a", day, day.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := f.Transfers.Parts(t.Context(), tr)
	var numbers []int
	for _, p := range found {
		numbers = append(numbers, p.Number)
	}
	if err != nil || !reflect.DeepEqual(numbers, []int{0, 1, 2, 999, 10_000}) {
		t.Errorf("%v, %v", numbers, err)
	}
}

func partsOfTheVeryTransfer(t *testing.T, f TransfersFixture) {
	first := begunTransfer(t, f, "t-1", "k")
	if _, err := f.Transfers.ClaimPart(t.Context(), first, 1, "a", day, day.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	next := first
	next.ID = "t-10"
	next = mustPutTransfer(t, f, first, next)
	for _, other := range []object.Transfer{next, begunTransfer(t, f, "t-3", "k2")} {
		if found, err := f.Transfers.Parts(t.Context(), other); err != nil || len(found) != 0 {
			t.Errorf("%s: %+v, %v", other.ID, found, err)
		}
	}
}

func lostAnswersOfTransfers(t *testing.T, f TransfersFixture) {
	lose := func(what string, do func() error) {
		t.Helper()
		f.LoseNextAnswer()
		if err := do(); err == nil {
			return // the SDK repeated it
		}
		if err := do(); err != nil {
			t.Errorf("%s, repeated: %v", what, err)
		}
	}
	tr := fullTransfer()
	lose("put", func() error { _, err := f.Transfers.PutTransfer(t.Context(), object.Transfer{}, tr); return err })
	next := tr
	next.Tries = 1
	lose("put over it", func() error { _, err := f.Transfers.PutTransfer(t.Context(), tr, next); return err })
	lose("touch", func() error {
		_, err := f.Transfers.TouchTransfer(t.Context(), tr, transfer.Touch{AliveUntil: day, Anew: true})
		return err
	})
	var p transfer.Part
	lose("claim", func() (err error) {
		p, err = f.Transfers.ClaimPart(t.Context(), tr, 1, "a", day, day.Add(time.Minute))
		return err
	})
	p.PartCopied = object.PartCopied{ETag: "e"}
	lose("finish", func() error { return f.Transfers.FinishPart(t.Context(), tr, p) })
	lose("remove", func() error { return f.Transfers.RemoveTransfer(t.Context(), tr) })
}
