package console

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"bucket-replicator/localstack/server"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of all tests.
type chromium struct {
	ctx   context.Context
	axe   string // the script that finds what people with a handicap stumble over
	shots string // directory of the screenshots
}

var (
	browsers     = sync.OnceValues(startChromium)
	closeBrowser = func() {}
)

// startChromium starts the one that `make browser-tools` installed. It brings
// the libraries and the font that a machine without a desktop may lack, and
// knows no host but this one.
func startChromium() (chromium, error) {
	root, err := server.Root()
	if err != nil {
		return chromium{}, err
	}
	tools := filepath.Join(root, ".cache", "tools", "browser")
	axe, err := os.ReadFile(filepath.Join(tools, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		return chromium{}, fmt.Errorf("%w (%w)", server.ErrNotInstalled, err)
	}
	shots := filepath.Join(root, ".cache", "screenshots")
	if err := os.RemoveAll(shots); err != nil {
		return chromium{}, err
	}
	if err := os.MkdirAll(shots, 0o755); err != nil {
		return chromium{}, err
	}
	home := filepath.Join(tools, "chromium")
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(filepath.Join(home, "chromium")),
		chromedp.Env("LD_LIBRARY_PATH="+filepath.Join(home, "al2023", "lib"), "FONTCONFIG_PATH="+filepath.Join(home, "fonts"), "HOME="+home),
		chromedp.NoSandbox, // CI may be root, and it sees our own page alone
		chromedp.DisableGPU,
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("hide-scrollbars", true),
	)...)
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, "unhandled node event") { // of a newer browser
			fmt.Fprintln(os.Stderr, text)
		}
	}))
	if err := chromedp.Run(ctx); err != nil {
		cancel()
		return chromium{}, fmt.Errorf("start Chromium: %w", err)
	}
	closeBrowser = func() {
		_ = chromedp.Cancel(ctx)
		cancel()
	}
	return chromium{ctx, string(axe), shots}, nil
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
}

var looks = []look{{"desktop", 1280, 900}, {"phone", 390, 844}}

// tab is a page in the browser, with cookies of its own.
type tab struct {
	*testing.T
	chromium
	look
	ctx context.Context

	mu      sync.Mutex
	wrong   []string // what the browser complained of, and what was asked of others
	loads   int      // how often the page was loaded
	allowed []string // parts of complaints that are meant
}

// inBrowser has a test done by somebody at a desktop and by somebody with a
// phone, or at some looks alone, each with a tab that shows the console.
func inBrowser(t *testing.T, test func(*tab, *stage), at ...look) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		untested(t)
		return
	}
	s := deployed(t)
	b, err := browsers()
	if err != nil {
		t.Fatal(err)
	}
	if at == nil {
		at = looks
	}
	for _, l := range at {
		t.Run(l.name, func(t *testing.T) {
			p := b.open(t, l, s.address)
			p.await("the jobs", `document.body.innerText.includes("replication:copied")`)
			test(p, s)
		})
	}
}

// untested says so where no Chromium can run.
func untested(t *testing.T) {
	const why = "UNTESTED: the page in a browser. The pinned Chromium runs on Linux on x86-64 alone."
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Log(why)
	report = why
}

// report is what make test ends with.
var report string

func writeReport() error {
	root, err := server.Root()
	if err != nil || report == "" {
		return err
	}
	return os.WriteFile(filepath.Join(root, ".cache", "browser.txt"), []byte(report+"\n"), 0o644)
}

// open opens an address in a new tab. When the test ends, it fails for all that
// the browser complained of.
func (b chromium) open(t *testing.T, l look, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &tab{T: t, chromium: b, look: l, ctx: ctx}
	p.allow("htmx:afterRequest") // with these htmx tells that what nobody
	p.allow("htmx:sendAbort")    // waits for any more was aborted
	t.Cleanup(func() {
		if t.Failed() {
			p.shoot("failed")
		}
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.wrong {
			if !slices.ContainsFunc(p.allowed, func(part string) bool { return strings.Contains(w, part) }) {
				t.Errorf("the browser complains: %s", w)
			}
		}
		if p.loads != 1 {
			t.Errorf("the page was loaded %d times", p.loads)
		}
	})
	origin := address[:strings.Index(address, "/?")]
	chromedp.ListenTarget(ctx, func(event any) { p.hear(event, origin) })
	if err := chromedp.Run(ctx); err != nil { // whose context the tab lives by
		t.Fatal(err)
	}
	p.do("open "+address,
		network.Enable(), log.Enable(), page.Enable(),
		emulation.SetDeviceMetricsOverride(l.width, l.height, 1, l.name == "phone"),
		chromedp.Navigate(address))
	return p
}

// hear takes note of what should not be.
func (p *tab) hear(event any, origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *cdpruntime.EventExceptionThrown:
		p.wrong = append(p.wrong, e.ExceptionDetails.Error())
	case *cdpruntime.EventConsoleAPICalled:
		text, _ := json.Marshal(e.Args)
		p.wrong = append(p.wrong, fmt.Sprintf("console.%s %s", e.Type, text))
	case *log.EventEntryAdded:
		p.wrong = append(p.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, origin+"/") {
			p.wrong = append(p.wrong, "asked of another host: "+e.Request.URL)
		}
	case *page.EventJavascriptDialogOpening:
		p.wrong = append(p.wrong, fmt.Sprintf("opened a %s: %s", e.Type, e.Message))
		go func() { _ = chromedp.Run(p.ctx, page.HandleJavaScriptDialog(true)) }()
	case *page.EventFrameNavigated:
		p.loads++
	}
}

// allow names a part of a complaint that the test means to bring about.
func (p *tab) allow(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, part)
}

// do fails the test unless the actions succeed.
func (p *tab) do(what string, actions ...chromedp.Action) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// eval answers the value of an expression of JavaScript.
func eval[V any](p *tab, expression string) V {
	p.Helper()
	var value V
	p.do(expression, chromedp.Evaluate(expression, &value, func(e *cdpruntime.EvaluateParams) *cdpruntime.EvaluateParams {
		return e.WithAwaitPromise(true)
	}))
	return value
}

// await waits until an expression is true.
func (p *tab) await(what, expression string) {
	p.Helper()
	await(p.T, what, func() (bool, error) { return eval[bool](p, expression), nil })
}

// sees waits until the page shows a text.
func (p *tab) sees(text string) {
	p.Helper()
	p.await(fmt.Sprintf("%q on the page", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// node is an element, 0 for the whole page.
type node = cdp.BackendNodeID

// element is the one that an expression answers, such as a part of the page to
// look for buttons in.
func (p *tab) element(expression string) node {
	p.Helper()
	var found node
	await(p.T, expression, func() (bool, error) {
		err := chromedp.Run(p.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
			object, thrown, err := cdpruntime.Evaluate(expression).Do(ctx)
			if err != nil || thrown != nil || object.ObjectID == "" {
				return err
			}
			described, err := dom.DescribeNode().WithObjectID(object.ObjectID).Do(ctx)
			if err == nil {
				found = described.BackendNodeID
			}
			return err
		}))
		return found != 0, err
	})
	return found
}

// row is what stands on the page for a rule.
func (p *tab) row(rule string) node {
	p.Helper()
	return p.element(rowOf(rule))
}

func rowOf(rule string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("main tr")].find((row) => row.innerText.includes("replication:%s"))`, rule)
}

// rowSees waits until a rule's row shows a text.
func (p *tab) rowSees(rule, text string) {
	p.Helper()
	p.await(fmt.Sprintf("%q in the row of %s", text, rule), fmt.Sprintf("Boolean(%s?.innerText.includes(%q))", rowOf(rule), text))
}

// dialog is the one that is open, the last of several.
func (p *tab) dialog() node {
	p.Helper()
	return p.element(`[...document.querySelectorAll("dialog[open]")].at(-1)`)
}

// tabs has each tab of a rule's drawer looked at, which is open.
func (p *tab) tabs(look func(name string)) {
	p.Helper()
	for _, name := range eval[[]string](p, `[...document.querySelectorAll("nav a")].map((tab) => tab.innerText)`) {
		p.click(p.dialog, "link", name)
		p.await("the tab "+name, fmt.Sprintf(`document.querySelector("nav [aria-current]").innerText === %q && Boolean(document.querySelector("#detail").innerText) && !document.querySelector("#detail .loading")`, name))
		look(name)
	}
}

// find answers what assistive technology knows by a role and a name, within a
// node; false where there is none.
func (p *tab) find(within node, role, name string) (found node, ok bool, err error) {
	err = chromedp.Run(p.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		if within == 0 {
			document, err := dom.GetDocument().WithDepth(0).Do(ctx)
			if err != nil {
				return err
			}
			within = document.BackendNodeID
		}
		nodes, err := accessibility.QueryAXTree().WithBackendNodeID(within).WithRole(role).WithAccessibleName(name).Do(ctx)
		for _, n := range nodes {
			if !n.Ignored {
				found, ok = n.BackendDOMNodeID, true
			}
		}
		return err
	}))
	return found, ok, err
}

// click clicks on the thing of a role and a name where it is, as a person does:
// when it stands still, and nothing is before it.
func (p *tab) click(within func() node, role, name string) {
	p.Helper()
	var before dom.Quad
	await(p.T, fmt.Sprintf("click on the %s %q", role, name), func() (done bool, err error) {
		n, ok, err := p.find(within(), role, name)
		if err != nil || !ok {
			return false, nil // the page may be replacing it
		}
		err = chromedp.Run(p.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
			if err := dom.ScrollIntoViewIfNeeded().WithBackendNodeID(n).Do(ctx); err != nil {
				return err
			}
			quads, err := dom.GetContentQuads().WithBackendNodeID(n).Do(ctx)
			if err != nil || len(quads) == 0 {
				return err
			}
			q := quads[0]
			x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
			still := slices.Equal(before, q)
			before = q
			object, err := dom.ResolveNode().WithBackendNodeID(n).Do(ctx)
			if err != nil || !still {
				return err
			}
			free, thrown, err := cdpruntime.CallFunctionOn(`function(x, y) { return this.contains(document.elementFromPoint(x, y)); }`).
				WithObjectID(object.ObjectID).WithReturnByValue(true).
				WithArguments([]*cdpruntime.CallArgument{{Value: fmt.Append(nil, x)}, {Value: fmt.Append(nil, y)}}).Do(ctx)
			if err != nil || thrown != nil || string(free.Value) != "true" {
				return err
			}
			done = true
			return chromedp.MouseClickXY(x, y).Do(ctx)
		}))
		return done && err == nil, nil
	})
}

func anywhere() node { return 0 }

// in is the row of a rule, as it is when somebody clicks there.
func (p *tab) in(rule string) func() node { return func() node { return p.row(rule) } }

// focus is the role and the name of what has it.
func (p *tab) focus() string {
	p.Helper()
	n := p.element("document.activeElement")
	var said string
	p.do("focus", chromedp.ActionFunc(func(ctx context.Context) error {
		nodes, err := accessibility.GetPartialAXTree().WithBackendNodeID(n).WithFetchRelatives(false).Do(ctx)
		if err != nil {
			return err
		}
		word := func(v *accessibility.Value) (w string) {
			if v != nil {
				_ = json.Unmarshal([]byte(v.Value), &w)
			}
			return w
		}
		said = strings.TrimSpace(word(nodes[0].Role) + " " + word(nodes[0].Name))
		return nil
	}))
	return said
}

// shows keeps what the page shows now as pictures, light and dark, and fails
// the test for what somebody would stumble over.
func (p *tab) shows(state string) {
	p.Helper()
	if !eval[bool](p, `Boolean(window.axe)`) {
		p.do("load axe", chromedp.Evaluate(p.axe, nil))
	}
	for _, scheme := range []string{"light", "dark"} {
		p.do(scheme, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}))
		name := strings.ReplaceAll(state, " ", "-") + "-" + scheme
		p.shoot(name)
		for _, v := range eval[[]string](p, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) =>
			v.id + ": " + v.help + "\n" + v.nodes.slice(0, 5).map((n) => n.target.join(" ") + ": " + n.failureSummary).join("\n")))`) {
			p.Errorf("%s, %s, %s: %s", state, p.look.name, scheme, v)
		}
	}
	states[p.Name()+state] = true
	report = fmt.Sprintf("The page was seen in a browser in %d states, each light and dark: %s", len(states), p.shots)
	if wide := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		p.Errorf("%s, %s: the page is %d pixels wider than the screen", state, p.look.name, wide)
	}
}

// states are those that were seen.
var states = map[string]bool{}

// shoot keeps a picture: of the whole page, or of the screen where a dialog is
// over it.
func (p *tab) shoot(name string) {
	p.Helper()
	whole := !eval[bool](p, `Boolean(document.querySelector("dialog[open]"))`)
	p.do("screenshot", chromedp.ActionFunc(func(ctx context.Context) error {
		picture, err := page.CaptureScreenshot().WithCaptureBeyondViewport(whole).Do(ctx)
		if err != nil {
			return err
		}
		test, _, _ := strings.Cut(p.Name(), "/")
		return os.WriteFile(filepath.Join(p.shots, fmt.Sprintf("%s-%s-%s.png", strings.TrimPrefix(test, "Test"), name, p.look.name)), picture, 0o644)
	}))
}
