package adminapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

func TestBackendsAreToldWithWhatTheyKeep(t *testing.T) {
	w := newWorld(t)
	c, err := w.ledger.Catalog(context.Background())
	w.must(err)
	c.Storage.Backends = []rule.Backend{
		{Name: "hq", Endpoint: "https://minio.example:9000", Region: "us-east-1", PathStyle: true, CredentialsSecret: "arn:aws:secretsmanager:us-east-1:111122223333:secret:hq-AbCdEf"},
		{Name: "partner", RoleARN: "arn:aws:iam::222233334444:role/r", ExternalID: "shared-word"},
	}
	w.ledger.SetCatalog(c)
	seen := time.Date(2026, 4, 1, 11, 0, 0, 0, time.UTC)
	for at, kept := range map[string]bool{"https://minio.example:9000": false, "https://former.example": true} {
		w.must(w.ledger.Observe(context.Background(), object.Endpoint{Backend: "hq", URL: at}, object.CopyConditions, object.Seen{Kept: kept, At: seen}))
	}
	if got := w.ask("GET /healthz").wants(200, "").Body; !strings.Contains(got, `"missing":{"hq":["copy_conditions"]}`) {
		t.Errorf("health is %s", got)
	}
	got := w.ask("GET /backends").wants(200, "").Body
	for _, want := range []string{
		`{"name":"aws","endpoint":"","region":"","account":"","signed_by":"role","capabilities":[{"name":"copy_conditions","status":"kept","seen_at":null}`,
		`{"name":"hq","endpoint":"https://minio.example:9000","region":"us-east-1","account":"","signed_by":"secret","capabilities":[{"name":"copy_conditions","status":"missing","seen_at":"2026-04-01T11:00:00Z"},{"name":"put_conditions","status":"unknown","seen_at":null}`,
		`{"name":"partner","endpoint":"","region":"","account":"222233334444","signed_by":"assumed_role",`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant in it %s", got, want)
		}
	}
	if strings.Contains(got, "secretsmanager") || strings.Contains(got, "shared-word") {
		t.Errorf("it says how to get in: %s", got)
	}
}
