package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

// readConfig reads the configuration file. Its warnings go to out; everything
// that is wrong with it is one error, a "file:line: path: message" line each.
func readConfig(file string, out io.Writer) (rule.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return rule.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	config, found := rulefile.Parse(text)
	problems := rule.Problems(found)
	if problems.Err() != nil {
		return rule.Config{}, errors.New(strings.TrimSuffix(problems.In(file), "\n"))
	}
	fmt.Fprint(out, problems.In(file))
	return config, nil
}
