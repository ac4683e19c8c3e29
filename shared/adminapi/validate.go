package adminapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

// validBody says what is wrong with a rule or a configuration.
type validBody struct {
	Valid    bool          `json:"valid"`    // there are no problems but warnings
	Problems []problemBody `json:"problems"` // the first 100
}

type problemBody struct {
	Line    int    `json:"line,omitempty"` // of the text, from 1; left out where it is not known
	Path    string `json:"path"`           // of the field; empty: the whole text
	Message string `json:"message"`
	Warning bool   `json:"warning"` // it works as it stands
}

// validate says what is wrong with a rule, among those there are, or with a
// whole configuration.
func (h *Handler) validate(ctx context.Context, r *request) (answer, error) {
	if len(r.body) == 0 {
		r.problem("body", "is missing: a rule or a configuration as JSON or YAML")
	}
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	var problems []rule.Problem
	switch {
	case r.isConfig() && r.yaml():
		_, problems = rulefile.Parse(r.body)
	case r.isConfig():
		_, problems = rule.ParseConfig(r.body)
	default:
		c, err := h.current(ctx)
		if err != nil {
			return answer{}, err
		}
		wanted, lines, unreadable := r.readRule("")
		if problems = unreadable; len(problems) == 0 {
			problems = together(c, wanted)
		}
		deployed := slices.ContainsFunc(c.Rules, func(s rule.Stored) bool { return s.Deployed && s.Rule.Name == wanted.Name })
		if rule.Problems(problems).Err() == nil && !deployed {
			problems = append(problems, rule.Uncovered(c, wanted)...)
		}
		problems = placed(problems, lines)
	}
	return answer{status: http.StatusOK, body: validBody{
		Valid: rule.Problems(problems).Err() == nil, Problems: problemBodies(problems),
	}}, nil
}

func problemBodies(problems []rule.Problem) []problemBody {
	bodies := []problemBody{}
	for _, p := range problems[:min(len(problems), maxProblems)] {
		bodies = append(bodies, problemBody{p.Line, p.Path, p.Message, p.Warning})
	}
	return bodies
}

// isConfig reports whether the body is a whole configuration and no rule.
func (r *request) isConfig() bool {
	if r.yaml() {
		return rulefile.IsConfig(r.body)
	}
	var top map[string]json.RawMessage
	_ = json.Unmarshal(r.body, &top)
	return top["storage"] != nil
}

// readRule reads the body as a rule of this name, which its text may leave out;
// of any name where that is empty. The lines are where YAML has what.
func (r *request) readRule(name string) (wanted rule.Rule, lines rulefile.Lines, problems []rule.Problem) {
	if len(r.body) > maxRuleBody {
		return rule.Rule{}, nil, []rule.Problem{{Message: fmt.Sprintf("has %d bytes: a rule has at most %d", len(r.body), maxRuleBody)}}
	}
	if r.yaml() {
		wanted, lines, problems = rulefile.ParseRule(r.body)
	} else {
		wanted, problems = rule.ParseRule(r.body)
	}
	switch {
	case name == "" || len(problems) > 0:
	case wanted.Name == "":
		wanted.Name = name
	case wanted.Name != name:
		problems = append(problems, rule.Problem{
			Path: "name", Line: lines.Of("name"),
			Message: fmt.Sprintf("is %q, and the path names %q: a rule is not renamed", shortened(wanted.Name), name),
		})
	}
	return wanted, lines, problems
}

// placed are the problems with their lines, where those are known.
func placed(problems []rule.Problem, lines rulefile.Lines) []rule.Problem {
	problems = slices.Clone(problems)
	for i := range problems {
		if problems[i].Line == 0 {
			problems[i].Line = lines.Of(problems[i].Path)
		}
	}
	return problems
}

// together is what is wrong with a rule, by itself and among the others, in
// place of the one of its name.
func together(c rule.Catalog, r rule.Rule) []rule.Problem {
	st := c.Storage
	st.Replication.Rules = nil
	for _, s := range c.Rules {
		if s.Rule.Name != r.Name {
			st.Replication.Rules = append(st.Replication.Rules, s.Rule)
		}
	}
	before := rule.Validate(rule.Config{Storage: st})
	n := len(st.Replication.Rules)
	others := st.Replication.Rules
	st.Replication.Rules = append(slices.Clip(others), r)
	var problems []rule.Problem
	for _, p := range rule.Validate(rule.Config{Storage: st}) {
		if slices.Contains(before, p) {
			continue // not this rule's
		}
		if rest, ok := strings.CutPrefix(p.Path, fmt.Sprintf("storage.replication.rules[%d].", n)); ok {
			p.Path = rest
		} else {
			for i, o := range others {
				p.Path = strings.Replace(p.Path, fmt.Sprintf("storage.replication.rules[%d].", i), o.Name+": ", 1)
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// linesOf are the problems that are no warnings, nil for none.
func linesOf(problems []rule.Problem) []string {
	var lines []string
	for _, p := range problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	if more := len(lines) - maxProblems; more > 0 {
		lines = append(lines[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return lines
}
