package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
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

// Somebody without a mouse gets everywhere, and the focus stays with what they
// were at.
func TestTheKeyboardSuffices(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		p.allow("htmx:afterRequest") // how htmx tells that what nobody
		p.allow("htmx:sendAbort")    // waits for any more was aborted
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

// lookUp asks for the status of an object.
func (p *tab) lookUp(bucket, key string) {
	p.Helper()
	for name, text := range map[string]string{"Bucket": bucket, "Key": key} {
		p.click(anywhere, "textbox", name)
		p.do("type", chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)), input.InsertText(text))
	}
	p.click(anywhere, "button", "Look up")
}
