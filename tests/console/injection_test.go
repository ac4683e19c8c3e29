package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/signed"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// hostile is what somebody may call an object so that a page which takes it for
// its own text does something. Each would leave window.ran behind, or an
// element that this page has nowhere.
var hostile = []string{
	`<img src=x onerror="window.ran=1">`,
	`"><script>window.ran=2</script>`,
	`' onfocus='window.ran=3' autofocus tabindex='0`,
	`</code></p></li></ol></dialog><svg onload=window.ran=4>`,
	`<div hx-post="jobs/copied/pause" hx-trigger="load" class="injected">`,
	`<a href="javascript:window.ran=5" class="injected">x</a>`,
	`{{.Body}}${window.ran=6}`,
	`&lt;b class=injected&gt;&#x27;`,
	"right\u202eto\u2066left",
	"tab\tand \u2028 line",
}

// intruders are elements that only what was taken for markup can have made.
const intruders = `[...document.querySelectorAll("script:not([src]), [onerror], [onload], [onfocus], [onclick], .injected, iframe, object, embed, base, img[src=x], a[href^='javascript:']")].map((e) => e.outerHTML)`

// unharmed fails if anything of what is shown was taken for markup.
func (p *tab) unharmed(screen string) {
	p.Helper()
	if found := eval[[]string](p, intruders); len(found) > 0 {
		p.Errorf("%s: the page has %s", screen, found)
	}
	if ran := eval[string](p, `String(window.ran)`); ran != "undefined" {
		p.Errorf("%s: script %s ran", screen, ran)
	}
	// What turns the writing around, or breaks the line, is told and not done.
	if eval[bool](p, `/[\u202a-\u202e\u2066-\u2069\u2028\u2029]/.test(document.body.innerText)`) {
		p.Errorf("%s: the page has characters that turn its writing around", screen)
	}
}

func TestNothingThatIsShownIsTakenForMarkup(t *testing.T) {
	inBrowser(t, func(p *tab, s *stage) {
		var odd, refused []string
		for _, name := range hostile {
			odd = append(odd, "fuzzed/odd/"+name)
			refused = append(refused, "refused/"+name)
		}
		for bucket, keys := range map[string][]string{"shop": odd, "drafts": refused} {
			for _, key := range keys {
				if _, err := s.S3.PutObject(p.Context(), &s3.PutObjectInput{
					Bucket: &bucket, Key: &key, Body: strings.NewReader(key), Metadata: map[string]string{"by": hostile[0]},
				}); err != nil {
					p.Fatal(err)
				}
			}
		}
		// A rule may have such prefixes and globs; its name may not be like that.
		rule, err := json.Marshal(map[string]any{
			"source":      map[string]string{"bucket": "shop", "prefix": "fuzzed/odd/"},
			"destination": map[string]string{"bucket": "outlet", "prefix": "fuzzed/" + hostile[0] + "/"}, "exclude_globs": []string{"**/" + hostile[1]},
			"priority": 1, "replicate_deletes": true, "max_deletes": map[string]int{"count": 1, "percent": 1},
		})
		if err != nil {
			p.Fatal(err)
		}
		s.asked(p.T, 201, "PUT", "/rules/odd", string(rule))
		defer s.unmake(p.T, "odd")
		for _, name := range hostile {
			// 404: the local cloud takes an encoded slash for one
			if status, answer := s.ask(p.T, "PUT", "/rules/"+url.PathEscape(name), string(rule)); status != 400 && status != 404 {
				p.Errorf("a rule %q: %d %s", name, status, answer)
			}
		}

		p.refresh()
		p.rowSees("odd", hostile[0])
		p.unharmed("row")
		p.click(p.in("odd"), "link", "replication:odd")
		p.tabs(func(name string) { p.unharmed("before a run, " + name) })
		p.click(p.dialog, "button", "Close")

		s.asked(p.T, 200, "POST", "/jobs/odd/run-now", "")
		s.remove(p.T, "shop", odd...)
		s.asked(p.T, 200, "POST", "/jobs/odd/run-now", "") // holds the deletes, and shows which
		s.asked(p.T, 200, "POST", "/jobs/refused/run-now", "")
		if err := s.Ledger.Fail(p.Context(), object.Failure{
			Rule: "refused", Source: object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "drafts"}, Key: "refused/" + hostile[4]},
			Dest:       object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "outlet"}, Key: "refused/" + hostile[4]},
			OccurredAt: time.Now(), Code: hostile[0], Message: hostile[1] + hostile[8], Advice: hostile[4],
		}); err != nil {
			p.Fatal(err)
		}
		p.refresh()
		p.rowSees("odd", "deletes")
		p.unharmed("held")
		p.shoot("held")
		for _, r := range []string{"odd", "refused"} {
			p.click(p.in(r), "link", "replication:"+r)
			p.tabs(func(name string) {
				p.unharmed(r + ", " + name)
				p.shoot(r + "-" + name)
			})
			p.click(p.dialog, "button", "Close")
		}
		p.click(p.in("odd"), "button", fmt.Sprintf("Approve %d deletes", len(hostile)-1)) // one is excluded
		p.unharmed("asked")
		p.click(p.dialog, "button", "Leave it")

		p.allow("status of 4") // of what there is not
		p.allow("Error Code 4")
		for _, name := range hostile {
			p.lookUp("drafts", "refused/"+name)
			p.await("the answer", `Boolean(document.querySelector("#object h3, #object-wrong:not([hidden])"))`)
			p.unharmed("object " + name)
			eval[string](p, fmt.Sprintf("location.hash = %q", "#"+url.PathEscape(name)+"/runs"))
			p.unharmed("address " + name)
		}
		p.lookUp(hostile[0]+hostile[8], hostile[1])
		p.await("the refusal", `!document.querySelector("#object-wrong").hidden`)
		p.unharmed("no bucket")
		p.shoot("no-bucket")
		if eval[bool](p, `document.querySelector("#drawer").open`) {
			p.Error("the drawer is open for what is no rule's name")
		}
		if job := s.asked(p.T, 200, "GET", "/jobs/copied", ""); !strings.Contains(job, `"paused":false`) {
			p.Errorf("somebody paused a rule: %s", job)
		}
	}, looks[0])
}

// refresh has the page look at the jobs now, and not in half a minute.
func (p *tab) refresh() {
	p.Helper()
	eval[bool](p, `document.querySelector("#jobs").dispatchEvent(new Event("refresh"))`)
}

// unmake takes a rule away that a test made.
func (s *stage) unmake(t *testing.T, rule string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "DELETE", s.api+"/rules/"+rule, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-Match", "*")
	if status, answer, err := signed.Do(s.Cloud.AWS(), "execute-api", r, ""); status != 204 {
		t.Errorf("remove rule %s: %d %s, %v", rule, status, answer, err)
	}
}
