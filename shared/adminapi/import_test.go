package adminapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
)

const exported = `{"Role":"arn:aws:iam::111122223333:role/replication","Rules":[{"ID":"logs","Priority":1,"Status":"Enabled",
	"Filter":{"Prefix":"logs/"},"DeleteMarkerReplication":{"Status":"Disabled"},"Destination":{"Bucket":"arn:aws:s3:::logs-dr"}}]}`

func TestAConfigurationOfAnotherProductIsImported(t *testing.T) {
	w := newWorld(t)
	got := w.with("POST /rules/import?format=s3&bucket=logs", exported).wants(200, "")
	var body struct {
		Valid   bool
		Storage rule.Storage
		Losses  []struct{ Where, What, Instead string }
	}
	w.must(json.Unmarshal([]byte(got.Body), &body))
	if !body.Valid || len(body.Storage.Replication.Rules) != 1 || body.Storage.Replication.Rules[0].Source.Prefix != "logs/" || len(body.Storage.Buckets) != 2 {
		t.Errorf("imported %s", got.Body)
	}
	for _, l := range body.Losses {
		if l.Where == "" || l.What == "" {
			t.Errorf("a loss says nothing: %+v", l)
		}
	}
	// What came out is what deploys.
	config := `{"storage":` + got.Body[strings.Index(got.Body, `"storage":`)+len(`"storage":`):strings.Index(got.Body, `,"losses"`)] + "}"
	if valid := w.with("POST /rules/validate", config).wants(200, "").json(); valid["valid"] != true {
		t.Errorf("%v in %s", valid, config)
	}
	if broken := w.with("POST /rules/import?format=s3&bucket=logs", `{"Rules":[{"Status":"On"}]}`).wants(200, "").json(); broken["valid"] != false ||
		broken["storage"] != nil || len(broken["problems"].([]any)) == 0 {
		t.Errorf("a text with mistakes: %v", broken)
	}
	if lines := w.lines("audit"); len(lines) > 0 {
		t.Errorf("what changes nothing is audited: %v", lines)
	}
}

func TestAnImportThatIsNotValid(t *testing.T) {
	w := newWorld(t)
	for situation, line := range map[string]string{
		"no format":           "POST /rules/import?bucket=logs",
		"no known format":     "POST /rules/import?bucket=logs&format=S3",
		"no bucket":           "POST /rules/import?format=s3",
		"names without names": "POST /rules/import?format=s3&bucket=logs&names=a=b,c",
	} {
		t.Run(situation, func(t *testing.T) { w.with(line, exported).wants(400, "InvalidRequest") })
	}
	w.with("POST /rules/import?format=s3&bucket=logs", "").wants(400, "InvalidRequest")
	w.with("POST /rules/import?format=backblaze&bucket=logs&names=x=https://s3.example/logs", exported).wants(200, "")
}
