package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bucket-replicator/shared/humanize"
	"bucket-replicator/shared/run"
)

// verifyAnswer is what the API answers of a verification, as far as people are told.
type verifyAnswer struct {
	ID      int64            `json:"verification_id"`
	Status  run.State        `json:"status"`
	Verdict string           `json:"verdict"`
	Scanned int64            `json:"objects_scanned"`
	Bytes   int64            `json:"bytes_compared"`
	Counts  map[string]int64 `json:"counts"`
	Samples []struct {
		Key    string `json:"dest_key"`
		Class  string `json:"class"`
		Reason string `json:"reason"`
		Why    string `json:"why"`
	} `json:"samples"`
	Repair *struct {
		Path   string `json:"path"`
		Detail string `json:"detail"`
	} `json:"repair"`
	Detail string `json:"detail"`
	Error  string `json:"error"`
}

// verify compares both sides of a rule, and waits for the end. It is an error if
// something differs, or not all was seen.
func (o operator) verify(ctx context.Context, rule string) error {
	o.show("verify")
	_, answer, err := o.call(ctx, http.MethodPost, jobPath(rule, "/verify?mode="+cmp.Or(o.mode, string(run.Metadata))))
	if err != nil {
		return err
	}
	var v verifyAnswer
	for {
		v = verifyAnswer{}
		if err := json.Unmarshal(answer, &v); err != nil {
			return err
		}
		if !v.Status.Active() {
			break
		}
		o.show("verification %d is %s: %d keys seen, %s of each side read", v.ID, v.Status, v.Scanned, humanize.Bytes(v.Bytes))
		select {
		case <-ctx.Done():
			return fmt.Errorf("verification %d goes on; make console tells how it is", v.ID)
		case <-time.After(o.poll):
		}
		if answer, err = o.get(ctx, jobPath(rule, "/verify"), &struct{}{}); err != nil {
			return err
		}
	}
	o.show("")
	if !o.told(answer) {
		if err := o.tellVerification(v); err != nil {
			return err
		}
	}
	switch v.Verdict {
	case "clean", "unproven":
		return nil
	case "differs":
		offer := ""
		if v.Repair != nil {
			offer = fmt.Sprintf(": %s (make run RULE=%s", v.Repair.Detail, rule)
			if _, mode, compares := strings.Cut(v.Repair.Path, "?compare="); compares {
				offer += " COMPARE=" + mode
			}
			offer += ")"
		}
		return fmt.Errorf("the two sides of %s differ%s", rule, offer)
	default:
		return errors.New(cmp.Or(v.Error, "it did not come to its end"))
	}
}

func (o operator) tellVerification(v verifyAnswer) error {
	fmt.Fprintln(o.out, v.Detail)
	var rows [][]string
	for _, s := range v.Samples {
		if s.Class != string(run.Matched) {
			rows = append(rows, []string{fmt.Sprintf("%q", s.Key), strings.ReplaceAll(s.Class, "_", " "), s.Why})
		}
	}
	return o.table(rows)
}
