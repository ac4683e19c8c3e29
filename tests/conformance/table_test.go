package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/storetest"
)

// table says which promise is kept by what. A promise that no real server keeps
// by itself is only as good as the fake's reading of AWS's documentation.
type table struct {
	promises []string
	columns  []string
	cells    map[[2]string]string // by promise and column
	natively map[string]bool      // promises that a real server keeps by itself
	missing  bool                 // a server could not be tried
	notes    []string
}

func newTable(promises []string) *table {
	return &table{promises: promises, cells: map[[2]string]string{}, natively: map[string]bool{}}
}

// add fills a server's column. native are the conditions that the server was
// left alone with, kept is what the store makes of it.
func (c *table) add(name string, native, kept map[string]bool, why map[string]storetest.Deviation) {
	c.columns = append(c.columns, name)
	for _, p := range c.promises {
		enforced, condition := native[p]
		cell := "-"
		switch {
		case enforced:
			cell = "enforced"
		case kept[p] && condition:
			cell = "emulated"
		case kept[p]:
			cell = "kept"
		default:
			c.notes = append(c.notes, fmt.Sprintf("%s, %s: %s", name, p, why[p].Why))
		}
		c.natively[p] = c.natively[p] || enforced || kept[p] && !condition
		c.cells[[2]string{p, name}] = cell
	}
}

// addFake fills the fake's column.
func (c *table) addFake(kept map[string]bool) {
	c.columns = append(c.columns, "fake")
	for _, p := range c.promises {
		c.cells[[2]string{p, "fake"}] = "-"
		if kept[p] {
			c.cells[[2]string{p, "fake"}] = "kept"
		}
	}
}

func (c *table) untested(name string, err error) {
	c.missing = true
	c.columns = append(c.columns, name)
	for _, p := range c.promises {
		c.cells[[2]string{p, name}] = "UNTESTED"
	}
	c.notes = append(c.notes, fmt.Sprintf("%s was NOT TRIED, so nothing shows what it alone enforces: %v", name, err))
}

// publish prints the table and keeps it in .cache/conformance.txt, and fails
// where a promise is nobody's but the fake's.
func (c *table) publish(t *testing.T, of string) {
	var b strings.Builder
	row := func(first string, cells ...string) {
		fmt.Fprintf(&b, "%-62s", first)
		for _, cell := range cells {
			fmt.Fprintf(&b, " %-10s", cell)
		}
		b.WriteByte('\n')
	}
	row("Promises of "+of, c.columns...)
	for _, p := range c.promises {
		var cells []string
		for _, name := range c.columns {
			cells = append(cells, c.cells[[2]string{p, name}])
		}
		row(p, cells...)
		why, expected := fakeOnly[p]
		switch {
		case c.natively[p] && expected:
			t.Errorf("a real server enforces %q after all", p)
		case c.natively[p], c.missing:
		case expected:
			c.notes = append(c.notes, fmt.Sprintf("only the fake, %s: %s", p, why))
		default:
			t.Errorf("no real server enforces %q", p)
		}
	}
	b.WriteString("\n" + legend + "\n")
	for _, n := range c.notes {
		b.WriteString("  " + n + "\n")
	}
	fmt.Println(b.String())
	if !c.missing {
		c.compare(t, of)
	}
	root, err := server.Root()
	if err == nil {
		err = os.WriteFile(filepath.Join(root, ".cache", "conformance.txt"), []byte(b.String()), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

const legend = "kept, enforced: by the server. emulated: the store looks, acts and looks again. -: not kept:"

var update = flag.Bool("update", false, "write who-keeps-what.md anew")

// page is the table as people read it.
const page = "who-keeps-what.md"

// compare fails where the page says anything else than what was seen.
func (c *table) compare(t *testing.T, of string) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Who keeps what\n\n"+
		"What each server was seen to keep of the promises of %s, in its version that `make test` installs. The test\n"+
		"fails where this page says anything else; `go test ./tests/conformance -run TestObjects -update` writes it.\n\n", of)
	fmt.Fprintf(&b, "| promise | %s |\n|---|%s\n", strings.Join(c.columns, " | "), strings.Repeat("---|", len(c.columns)))
	for _, p := range c.promises {
		fmt.Fprintf(&b, "| %s |", p)
		for _, name := range c.columns {
			fmt.Fprintf(&b, " %s |", c.cells[[2]string{p, name}])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%s\n\n", legend)
	for _, n := range c.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Error(err)
		}
		return
	}
	written, err := os.ReadFile(page)
	if err != nil || string(written) != b.String() {
		t.Errorf("%s is not what was seen (%v): write it anew with -update", page, err)
	}
}

// fakeOnly are the promises that no server here enforces, and AWS does.
var fakeOnly = map[string]string{
	"copy if-none-match refuses an existing object (unversioned)": onlyVersioned,
	"copy if-match refuses a changed object (unversioned)":        onlyVersioned,
	"of two copies if-none-match one wins (unversioned)":          onlyVersioned,
	"of two copies if-match one wins (unversioned)":               onlyVersioned,
	"of a copy and a delete if-match one wins":                    "no server has both conditions",
	"copy gives the bucket's owner control":                       "no server has two accounts",
	"an upload gives the bucket's owner control":                  "no server has two accounts",
}

const onlyVersioned = "a server keeps it on versioned buckets alone"
