package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTemplatesPassCfnLint runs the pinned cfn-lint with .cfnlintrc. The local
// templates are left out: they are for an emulator.
func TestTemplatesPassCfnLint(t *testing.T) {
	lint := filepath.Join("..", ".cache", "tools", "cfn-lint", "bin", "cfn-lint")
	if _, err := os.Stat(lint); err != nil {
		t.Fatalf("%v: run `make cfn-lint`", err)
	}
	var files []string
	for _, d := range []*deployment{everything, many, idle} {
		for name := range d.synth(t) {
			files = append(files, filepath.Join(d.outdir, name+".template.json"))
		}
	}
	if out, err := exec.CommandContext(t.Context(), lint, files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
