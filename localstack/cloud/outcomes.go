package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bucket-replicator/localstack/signed"
)

// Outcome is a line that the event function logs for each object and rule, as
// the people who run it see it.
type Outcome struct {
	Time       time.Time `json:"time"`
	Message    string    `json:"msg"`
	Result     string    `json:"result"` // copied, deleted, skipped, ...
	Reason     string    `json:"reason"` // of a skip
	Rule       string    `json:"rule"`
	Bucket     string    `json:"bucket"` // "aws/name"
	Key        string    `json:"key"`
	DestBucket string    `json:"dest_bucket"`
	DestKey    string    `json:"dest_key"`
	Bytes      int64     `json:"bytes"`
	Seconds    float64   `json:"seconds"` // from the event to the replica
	Code       string    `json:"code"`
	Error      string    `json:"error"`
}

// Outcomes reads what the event function logged since the cloud was started, in
// the order of the log.
func (c *Cloud) Outcomes(ctx context.Context, s Stack) ([]Outcome, error) {
	lines, err := c.Logs(ctx, s.Outputs["ReplicateLogGroup"])
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome
	for _, line := range lines {
		var o Outcome
		if json.Unmarshal([]byte(line), &o) == nil && o.Message == "outcome" {
			outcomes = append(outcomes, o)
		}
	}
	return outcomes, nil
}

// Logs reads all lines of a log group. A group that nobody wrote to yet has
// none.
func (c *Cloud) Logs(ctx context.Context, group string) ([]string, error) {
	var lines []string
	request := map[string]string{"logGroupName": group}
	for {
		var page struct {
			Events []struct {
				Message string `json:"message"`
			} `json:"events"`
			NextToken string `json:"nextToken"`
		}
		if err := c.callLogs(ctx, "FilterLogEvents", request, &page); err != nil {
			return nil, fmt.Errorf("read log group %s: %w", group, err)
		}
		for _, e := range page.Events {
			lines = append(lines, e.Message)
		}
		if page.NextToken == "" || page.NextToken == request["nextToken"] {
			return lines, nil
		}
		request["nextToken"] = page.NextToken
	}
}

// Transcript is the last lines, at most so many, of each log group that anybody
// wrote to: what a failed test shows, since the cloud and its logs end with it.
func (c *Cloud) Transcript(ctx context.Context, last int) string {
	var groups struct {
		LogGroups []struct {
			LogGroupName string `json:"logGroupName"`
		} `json:"logGroups"`
	}
	if err := c.callLogs(ctx, "DescribeLogGroups", struct{}{}, &groups); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, g := range groups.LogGroups {
		lines, err := c.Logs(ctx, g.LogGroupName)
		if err != nil {
			lines = []string{err.Error()}
		}
		if len(lines) == 0 {
			continue
		}
		from := max(0, len(lines)-last)
		fmt.Fprintf(&b, "%s, %d lines before these:\n", g.LogGroupName, from)
		for _, line := range lines[from:] {
			fmt.Fprintf(&b, "  %s\n", strings.TrimSpace(line))
		}
	}
	return b.String()
}

// callLogs makes one call of CloudWatch Logs.
func (c *Cloud) callLogs(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Logs_20140328."+operation)
	status, answer, err := signed.Do(c.AWS(), "logs", r, string(body))
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", operation, status, answer)
	}
	return json.Unmarshal(answer, out)
}
