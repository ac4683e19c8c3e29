package foreign_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
	"bucket-replicator/shared/rule/rulefile"
)

var update = flag.Bool("update", false, "write the expected files anew")

// sample is an import whose YAML and losses are in testdata.
type sample struct {
	format foreign.Format
	files  []string // "bucket file"
	o      foreign.Options
}

var samples = map[string]sample{
	"aws-prefix-and-tags": {foreign.S3, []string{"documents aws-prefix-and-tags.json"}, foreign.Options{
		Region: "us-east-1", Regions: map[string]string{"documents": "us-east-1", "documents-secret": "us-east-1", "documents-dr": "eu-west-1"}}},
	"aws-legacy":        {foreign.S3, []string{"web aws-legacy.json"}, foreign.Options{}},
	"aws-legacy-xml":    {foreign.S3, []string{"web aws-legacy.xml"}, foreign.Options{}},
	"aws-everything":    {foreign.S3, []string{"orders aws-everything.xml"}, foreign.Options{Region: "eu-west-1", Regions: map[string]string{"orders": "us-east-1", "orders-dr": "eu-west-1"}}},
	"exoscale":          {foreign.S3, []string{"my-source exoscale-leader.json"}, foreign.Options{}},
	"exoscale-pair":     {foreign.S3, []string{"team-zurich exoscale-zurich.json", "team-geneva exoscale-geneva.json"}, foreign.Options{}},
	"exoscale-one-zone": {foreign.S3, []string{"my-source exoscale-leader.json"}, foreign.Options{Names: map[string]string{"my-source": "https://sos-ch-dk-2.exo.io/my-source", "my-destination": "https://sos-ch-dk-2.exo.io/my-destination"}}},
	"minio":             {foreign.MinIO, []string{"data minio-export.json"}, foreign.Options{}},
	"minio-one-target":  {foreign.MinIO, []string{"data minio-json.json"}, foreign.Options{Names: map[string]string{"data": "https://minio.example:9000/data", "arn:minio:replication::9f8e7d6c-aaaa-bbbb-cccc-0123456789ab:copy": "https://minio-dr.example:9000/copy"}}},
	"backblaze":         {foreign.Backblaze, []string{"photos backblaze-source.json"}, foreign.Options{Names: map[string]string{"85644d98debc657d880b0e1e": "photos-shared"}}},
	"backblaze-both": {foreign.Backblaze, []string{"photos backblaze-answered.json"}, foreign.Options{Names: map[string]string{
		"photos": "https://s3.us-west-004.backblazeb2.com/photos", "c5f35d53a90a7ea284fb0719": "https://s3.us-west-004.backblazeb2.com/photos-west", "55f34d53a96a7ea284fb0719": "https://s3.eu-central-003.backblazeb2.com/photos-eu"}}},
}

func (s sample) documents(t testing.TB) []foreign.Document {
	t.Helper()
	var documents []foreign.Document
	for _, f := range s.files {
		bucket, file, _ := strings.Cut(f, " ")
		documents = append(documents, foreign.Document{Bucket: bucket, Text: []byte(read(t, file))})
	}
	return documents
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expect compares with a file of testdata.
func expect(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", file), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, file); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestSamplesBecomeRules(t *testing.T) {
	for name, s := range samples {
		t.Run(name, func(t *testing.T) {
			imported, problems := foreign.Import(s.format, s.documents(t), s.o)
			if err := rule.Problems(problems).Err(); err != nil {
				t.Fatal(err)
			}
			expect(t, name+".yaml", printed(t, imported.Storage))
			expect(t, name+".losses.txt", losses(imported)+rule.Problems(problems).In("text"))
		})
	}
}

// printed is a configuration as YAML, which reads back without a fault.
func printed(t testing.TB, s rule.Storage) string {
	t.Helper()
	text, err := rulefile.Print(rule.Config{Storage: s})
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := rulefile.Parse(text); rule.Problems(problems).Err() != nil {
		t.Fatalf("the YAML is refused: %v\n%s", rule.Problems(problems).Err(), text)
	}
	return string(text)
}

func losses(im foreign.Imported) string {
	var b strings.Builder
	for _, l := range im.Losses {
		fmt.Fprintf(&b, "%s\n  %s\n  -> %s\n", l.Where, l.What, l.Instead)
	}
	return b.String()
}
