package foreign_test

import (
	"reflect"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
	"bucket-replicator/shared/rule/rulefile"
)

// fuzz imports what begins as the samples of a format: it is refused, with
// words, or is a configuration that prints, reads back and compiles.
func fuzz(f *testing.F, format foreign.Format) {
	for _, s := range samples {
		if s.format != format {
			continue
		}
		for _, d := range s.documents(f) {
			f.Add(d.Bucket, d.Text)
		}
	}
	f.Add("https://minio.example/b", []byte(`{"Rules": [{}], "Rules": [null]}`))
	f.Fuzz(func(t *testing.T, bucket string, text []byte) {
		o := foreign.Options{
			Names:   map[string]string{"85644d98debc657d880b0e1e": "photos-shared", "c5f35d53a90a7ea284fb0719": "https://s3.example/photos", bucket: bucket},
			Region:  "eu-west-1",
			Regions: map[string]string{"orders-dr": "us-east-1"},
		}
		imported, problems := foreign.Import(format, []foreign.Document{{Bucket: bucket, Text: text}}, o)
		for _, p := range problems {
			if p.Message == "" {
				t.Errorf("a problem says nothing: %+v", p)
			}
		}
		if rule.Problems(problems).Err() != nil {
			return
		}
		for _, l := range imported.Losses {
			if l.Where == "" || l.What == "" || l.Instead == "" {
				t.Errorf("a loss says nothing: %+v", l)
			}
		}
		c := rule.Config{Storage: imported.Storage}
		if err := rule.Problems(rule.Validate(c)).Err(); err != nil {
			t.Fatalf("it is not valid: %v", err)
		}
		if again, _ := rulefile.Parse([]byte(printed(t, imported.Storage))); !reflect.DeepEqual(again, c) {
			t.Fatalf("it reads back as\n%+v\nwant\n%+v", again, c)
		}
		var stored []rule.Stored
		for _, r := range c.Storage.Replication.Rules {
			stored = append(stored, rule.Stored{Rule: r})
		}
		if _, err := rule.Compile(rule.Catalog{Storage: c.Storage, Rules: stored}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzS3(f *testing.F)        { fuzz(f, foreign.S3) }
func FuzzMinIO(f *testing.F)     { fuzz(f, foreign.MinIO) }
func FuzzBackblaze(f *testing.F) { fuzz(f, foreign.Backblaze) }
