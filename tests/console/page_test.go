package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/transfer"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/sync/errgroup"
)

func TestARunIsWatchedUntilItSucceeded(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		s.put(p.T, "shop", "copied/a-"+p.look.name, "copied/b-"+p.look.name)
		s.workers(p.T, false)
		defer s.workers(p.T, true)
		p.click(p.in("copied"), "button", "Run now")
		p.click(p.in("copied"), "link", "replication:copied")
		p.sees("running")
		p.shows("a run")
		s.workers(p.T, true)
		p.sees("succeeded")
		p.click(p.dialog, "button", "Close")
		p.rowSees("copied", "2 objects copied")
		p.shows("jobs")
	})
}

func TestPauseAndResume(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		p.click(p.in("copied"), "button", "Pause")
		p.sees("Nothing is replicated until somebody resumes it")
		p.shows("asked")
		p.click(p.dialog, "button", "Leave it")
		p.click(p.in("copied"), "button", "Pause")
		p.click(p.dialog, "button", "Pause")
		p.rowSees("copied", "paused")
		p.shows("paused")
		key := "copied/while-paused-" + p.look.name
		s.put(p.T, "shop", key)
		p.click(p.in("copied"), "button", "Resume")
		s.arrives(p.T, "outlet", key)
		p.rowSees("copied", "1 object copied")
	})
}

func TestAFailureTellsWhatToDo(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		s.put(p.T, "drafts", "refused/report.pdf")
		p.click(p.in("refused"), "button", "Run now")
		p.sees("refused: Run now: done")
		p.click(p.in("refused"), "link", "What failed, and what to do")
		p.sees("refused/report.pdf")
		p.sees("AccessDenied")
		p.sees("role") // of the advice
		p.sees("tried again")
		p.shows("failures")
		p.click(p.dialog, "button", "Close")
		p.shows("row")
	})
}

func TestARunThatCannotBegin(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		p.click(p.in("lost"), "button", "Run now")
		p.rowSees("lost", "failing")
		p.rowSees("lost", "NoSuchBucket")
		p.shows("row")
	})
}

func TestHeldDeletesAreApproved(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		keys := []string{"braked/1", "braked/2", "braked/3"}
		s.put(p.T, "shop", append(keys, "braked/stays")...)
		s.asked(p.T, 200, "POST", "/jobs/braked/run-now", "")
		s.remove(p.T, "shop", keys...)
		p.click(p.in("braked"), "button", "Run now")
		p.click(p.in("braked"), "button", "Approve 3 deletes")
		p.sees("delete 3 objects at the destination?")
		p.shows("asked")
		p.click(p.dialog, "button", "Leave it")
		p.rowSees("braked", "holds 3 deletes")
		p.shows("held")
		for _, key := range keys {
			s.arrives(p.T, "outlet", key) // it is there still
		}
		p.click(p.in("braked"), "button", "Approve 3 deletes")
		p.click(p.dialog, "button", "Delete 3 objects")
		p.rowSees("braked", "3 deleted")
		if left := s.list(p.T, "outlet", "braked/"); fmt.Sprint(left) != "[braked/stays]" {
			p.Errorf("left are %s", left)
		}
	})
}

func TestAnObjectsStatus(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		s.put(p.T, "shop", "copied/object")
		s.asked(p.T, 200, "POST", "/jobs/copied/run-now", "")
		s.put(p.T, "drafts", "refused/object")
		s.asked(p.T, 200, "POST", "/jobs/refused/run-now", "")
		p.lookUp("shop", "copied/object")
		p.sees("COMPLETED")
		p.shows("source")
		p.lookUp("outlet", "copied/object")
		p.sees("REPLICA")
		p.lookUp("drafts", "refused/object")
		p.sees("FAILED")
		p.shows("failed")
		p.lookUp("shop", "elsewhere/object")
		p.sees("No rule concerns this object.")
		p.allow("status of 404")  // which the browser tells of, too
		p.allow("Error Code 404") // and htmx
		p.lookUp("shpo", "copied/object")
		p.await("what is wrong", `[...document.querySelectorAll("[role=alert]")].some((line) => !line.hidden && line.innerText)`)
		p.shows("no such bucket")
	})
}

func TestEachTabOfARule(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		s.put(p.T, "shop", "copied/tab-"+p.look.name)
		s.asked(p.T, 200, "POST", "/jobs/copied/run-now", "")
		s.put(p.T, "shop", "copied/planned-"+p.look.name)
		p.click(p.in("copied"), "link", "replication:copied")
		p.tabs(p.shows)
	})
}

func TestARuleIsMadeTriedChangedAndRemoved(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		name := "made-" + p.look.name
		text := fmt.Sprintf("name: %[1]s\nsource: { bucket: shop, prefix: fuzzed/%[1]s/ }\ndestination: { bucket: outlet, prefix: fuzzed/%[1]s/ }\npriority: 1\n", name)
		s.put(p.T, "shop", "fuzzed/"+name+"/a")
		p.click(anywhere, "DisclosureTriangle", "New rule")
		p.fill("The new rule as YAML", strings.Replace(text, "bucket: outlet", "bucket: outlt", 1))
		p.click(anywhere, "button", "Validate")
		p.sees("It cannot be used")
		p.sees("outlt")
		p.shows("invalid")
		p.fill("The new rule as YAML", text)
		p.click(anywhere, "button", "Validate")
		p.sees("Nothing is wrong with it.")
		p.click(anywhere, "button", "Plan")
		p.sees("A run now would look at 1 key.")
		p.shows("planned")
		p.click(anywhere, "button", "Make the rule")
		p.sees("Made through the API, revision")
		p.shows("made")
		before := eval[string](p, `document.querySelector("#detail p").innerText`)
		p.fill("The rule as YAML", text+"interval: 12h\n")
		p.click(p.dialog, "button", "Apply")
		p.await("another revision", fmt.Sprintf(`(document.querySelector("#detail p")?.innerText ?? %[1]q) !== %[1]q`, before))
		p.await("the change", `document.querySelector("#detail textarea").value.includes("interval: 12h")`)
		p.click(p.dialog, "button", "Delete rule")
		p.click(p.dialog, "button", "Delete the rule")
		p.await("the rule's end", fmt.Sprintf("!%s", rowOf(name)))
	})
}

// The list is read page by page, however long it is.
func TestTenThousandFailures(t *testing.T) {
	s := deployed(t)
	s.crowd(t, 10_000)
	inBrowser(t, func(p *tab, s *stage) {
		p.click(p.in("crowded"), "link", "replication:crowded")
		p.click(p.dialog, "link", "Failures")
		p.sees("crowded/09999")
		p.shows("first page")
		p.click(p.dialog, "button", "Older failures")
		p.sees("crowded/09900")
		if n := eval[int](p, `document.querySelectorAll("#detail li").length`); n != 100 {
			p.Errorf("two pages have %d failures", n)
		}
	})
}

// crowd records so many failures of the rule crowded, each a second after the
// other.
func (s *stage) crowd(t *testing.T, n int) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(32)
	began := time.Now().Add(-time.Duration(n) * time.Second)
	for i := range n {
		key := fmt.Sprintf("crowded/%05d", i)
		g.Go(func() error {
			return s.Ledger.Fail(ctx, object.Failure{
				Rule: "crowded", Source: object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "drafts"}, Key: key},
				Dest:       object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "outlet"}, Key: key},
				OccurredAt: began.Add(time.Duration(i) * time.Second), Code: "AccessDenied", Message: "one of many", Advice: "Let the role write.",
			})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Large objects are watched while workers copy them, however many there are.
func TestLargeObjectsUnderWay(t *testing.T) {
	s := deployed(t)
	began := time.Now().Add(-3 * time.Hour)
	for i := range 30 {
		s.moves(t, fmt.Sprintf("large/backup-%02d.tar", i), object.Transfer{
			Run: 7, Size: 18 << 30, PartSize: 64 << 20, BegunAt: began.Add(time.Duration(i) * time.Minute), AliveUntil: time.Now().Add(time.Hour),
			Upload: object.Upload{ID: "u"}, ProgressAt: time.Now(), Counted: object.Counted{At: time.Now(), Parts: 118, Bytes: 118 << 26},
		})
	}
	s.moves(t, "large/of-an-archive-with-a-long-name-that-has-to-break-somewhere/and-goes-on/2026-02-28.tar", object.Transfer{
		Size: 5 << 40, PartSize: 600 << 20, BegunAt: began.Add(-48 * time.Hour), AliveUntil: began, Tries: 3, LastError: "SlowDown",
		Upload: object.Upload{ID: "u"}, ProgressAt: began, Counted: object.Counted{At: began, Parts: 8600, Bytes: 8600 * 600 << 20},
	})
	inBrowser(t, func(p *tab, s *stage) {
		// The list is asked for every 30 s, and its sums may be 10 s old.
		timer := eval[int](p, `setInterval(() => htmx.trigger("#jobs", "refresh"), 1000)`)
		p.rowSees("large", "31 large objects")
		eval[any](p, fmt.Sprintf("clearInterval(%d) ?? null", timer))
		p.rowSees("large", "1 stalled")
		p.shows("row")
		p.click(p.in("large"), "link", "How far each is")
		p.sees("No part was done since a worker met SlowDown.")
		p.sees("40% of 19.3 GB, 118 of 288 parts")
		p.shows("many")
		p.click(p.dialog, "button", "Later large objects")
		p.sees("large/backup-29.tar")

		live := s.moves(p.T, "large/a-live-"+p.look.name, object.Transfer{
			Run: 8, Size: 12 << 20, PartSize: 4 << 20, BegunAt: began.Add(-72 * time.Hour), AliveUntil: time.Now().Add(time.Hour),
		})
		p.sees("large/a-live-" + p.look.name)
		p.sees("It waits for its first worker.")
		live.Upload.ID = "u"
		revision, err := s.Ledger.PutTransfer(p.Context(), live, live)
		if err != nil {
			p.Fatal(err)
		}
		live.Revision = revision
		if _, err := s.Ledger.TouchTransfer(p.Context(), live, transfer.Touch{
			AliveUntil: time.Now().Add(time.Hour), ProgressAt: time.Now(), Counted: object.Counted{At: time.Now(), Parts: 2, Bytes: 8 << 20},
		}); err != nil {
			p.Fatal(err)
		}
		p.sees("66% of 12.6 MB, 2 of 3 parts")
		p.shows("live")
		p.click(p.dialog, "button", "Close")
		s.write(p.T, "drafts", live.From.Key, strings.Repeat("x", 12<<20))
		p.lookUp("drafts", live.From.Key)
		p.sees("0% of 12.6 MB, 0 of 3 parts") // as its parts are in the table themselves
		p.shows("object")
		if err := s.Ledger.RemoveTransfer(p.Context(), live); err != nil {
			p.Fatal(err)
		}
		p.click(p.in("large"), "link", "How far each is")
		p.sees("large/backup-00.tar")
		p.await("its end", fmt.Sprintf(`!document.querySelector("#detail").innerText.includes(%q)`, "a-live-"+p.look.name))
	})
}

// moves stores a large object of the rule large that is under way.
func (s *stage) moves(t *testing.T, key string, tr object.Transfer) object.Transfer {
	t.Helper()
	tr.ID, tr.Rule = "t-"+key, "large"
	tr.From = object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "drafts"}, Key: key}
	tr.To = object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "outlet"}, Key: key}
	revision, err := s.Ledger.PutTransfer(t.Context(), object.Transfer{}, tr)
	if err != nil {
		t.Fatal(err)
	}
	tr.Revision = revision
	return tr
}

func TestTheConsoleIsGone(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		console, address, err := s.openConsole()
		if err != nil {
			p.Fatal(err)
		}
		alone := p.chromium.open(p.T, p.look, address)
		alone.rowSees("copied", "Run now")
		if err := endConsole(console); err != nil {
			p.Fatal(err)
		}
		alone.allow("Failed to load resource: net::ERR_") // refused, or cut off
		alone.allow("htmx:sendError")
		alone.click(alone.in("copied"), "button", "Run now")
		alone.sees("There is no answer: is make console still running?")
		alone.shows("gone")
	})
}

// Somebody without a mouse gets everywhere, and the focus stays with what they
// were at.
func TestTheKeyboardSuffices(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		p.tabTo("link replication:copied")
		p.press(kb.Enter)
		p.await("the drawer", `document.querySelector("#drawer").open`)
		p.focused("link Runs")
		p.tabTo("link Failures")
		p.press(kb.Enter)
		p.sees("Nothing failed")
		p.focused("link Failures")
		p.press(kb.Escape)
		p.focused("link replication:copied")

		p.tabTo("button Run now")
		p.tabTo("button Pause")
		p.press(kb.Enter)
		p.focused("button Leave it")
		p.press(kb.Escape)
		p.focused("button Pause")
		p.press(kb.Enter)
		p.focused("button Leave it")
		p.tabTo("button Pause") // that of the dialog
		p.press(kb.Enter)
		p.rowSees("copied", "paused")
		p.focused("link replication:copied") // whose button is gone
		p.shows("focus")
		p.tabTo("button Resume")
		p.press(kb.Enter)
		p.rowSees("copied", "ok")
		p.tabTo("textbox Bucket")
		p.enter("shop")
		p.press(kb.Tab)
		p.enter("copied/none")
		p.press(kb.Enter)
		p.sees("copied/none")
	})
}

// press presses a key. Escape closes dialogs only where the browser takes it
// for a person's.
func (p *tab) press(key string) {
	p.Helper()
	p.do("press a key", chromedp.KeyEvent(key))
}

func (p *tab) enter(text string) {
	p.Helper()
	p.do("type "+text, input.InsertText(text))
}

// tabTo presses Tab until something of this role and name has the focus.
func (p *tab) tabTo(want string) {
	p.Helper()
	var seen []string
	for range 80 {
		p.press(kb.Tab)
		at := p.focus()
		if at == want {
			return
		}
		seen = append(seen, at)
	}
	p.Fatalf("Tab never comes to the %s, but to %s", want, strings.Join(seen, ", "))
}

// focused waits until something of this role and name has the focus.
func (p *tab) focused(want string) {
	p.Helper()
	var at string
	defer func() {
		if p.Failed() {
			p.Logf("the focus is on the %s", at)
		}
	}()
	await(p.T, "the focus on the "+want, func() (bool, error) {
		at = p.focus()
		return at == want, nil
	})
}

// fill puts a text into the field of a name, in place of what it has.
func (p *tab) fill(name, text string) {
	p.Helper()
	p.click(anywhere, "textbox", name)
	p.do("type", chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)), input.InsertText(text))
}

// lookUp asks for the status of an object.
func (p *tab) lookUp(bucket, key string) {
	p.Helper()
	for name, text := range map[string]string{"Bucket": bucket, "Key": key} {
		p.fill(name, text)
	}
	p.click(anywhere, "button", "Look up")
}
