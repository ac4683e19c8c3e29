package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

// importing runs the command, and reads back what it prints.
func importing(t *testing.T, args ...string) (printed string, s rule.Storage, notes string) {
	t.Helper()
	var out, told bytes.Buffer
	if err := execute(t.Context(), append([]string{"import"}, args...), &out, &told); err != nil {
		t.Fatal(err)
	}
	c, problems := rulefile.Parse(out.Bytes())
	if err := rule.Problems(problems).Err(); err != nil {
		t.Fatalf("what it prints is no configuration: %v\n%s", err, out.String())
	}
	return out.String(), c.Storage, told.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const exported = `{"Role": "arn:aws:iam::111122223333:role/r", "Rules": [{"ID": "a\n\u2028storage: {}", "Status": "Enabled", "Priority": 1,
	"Filter": {"Prefix": "logs"}, "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::%s"}}]}`

func TestImportOfAFile(t *testing.T) {
	path := write(t, "rules of old.json", fmt.Sprintf(exported, "copy"))
	printed, s, _ := importing(t, "-file", path, "-bucket", "source")
	if r := s.Replication.Rules; len(r) != 1 || r[0].Name != "a--storage----" || r[0].Source.Bucket != "source" || len(s.Buckets) != 2 {
		t.Errorf("it says\n%+v", s)
	}
	for _, said := range []string{
		"# Imported from " + path + ".\n",
		"# Rules[0].ID:\n#   \"a\\n\\u2028storage: {}\" cannot be a rule's name; the rule is called a--storage----\n#   -> use that name",
		"# Likely not meant:\n#   2: warning: Rules[0].Filter: \"logs\" also stands for keys such as",
	} {
		if !strings.Contains(printed, said) {
			t.Errorf("it does not say %q:\n%s", said, printed)
		}
	}
	for line := range strings.Lines(printed) {
		if len(line) > 120 {
			t.Errorf("a line has %d bytes: %s", len(line), line)
		}
	}
}

func TestImportOfAPair(t *testing.T) {
	_, s, _ := importing(t, "-bucket", "west east", "-file",
		write(t, "west", fmt.Sprintf(exported, "east"))+" "+write(t, "east", fmt.Sprintf(exported, "west")))
	r := s.Replication.Rules
	if len(r) != 2 || len(s.Buckets) != 2 || r[0].Source != r[1].Destination || r[1].Source != r[0].Destination || r[0].Name == r[1].Name {
		t.Errorf("it says\n%+v", s)
	}
}

func TestImportFromElsewhere(t *testing.T) {
	path := write(t, "minio.json", `{"Rules": [{"ID": "r", "Status": "Enabled", "Destination": {"Bucket": "arn:minio:replication::x:data"}}]}`)
	_, s, _ := importing(t, "-format", "minio", "-file", path, "-bucket", "data",
		"-names", "data=https://minio.example:9000/data arn:minio:replication::x:data=https://dr.example/data")
	if len(s.Backends) != 2 || s.Backends[0].Endpoint != "https://minio.example:9000" || s.Backends[1].Endpoint != "https://dr.example" {
		t.Errorf("the backends are %+v", s.Backends)
	}
}

func TestImportSaysWhatItCannot(t *testing.T) {
	path := write(t, "x.json", "{}")
	for name, c := range map[string]struct{ args, err string }{
		"no bucket":             {"-file " + path, "which bucket is the source?"},
		"no file":               {"-bucket a -file " + path + "y", "no such file"},
		"more buckets":          {"-bucket a,b -file x", "open x"},
		"names of nothing":      {"-bucket abc -names a= -file " + path, `"a=" is not of the form ID=name`},
		"nothing to import":     {"-bucket abc -file " + path, "x.json cannot be imported:\n1: Rules: is missing: there are no rules"},
		"a live MinIO":          {"-bucket abc -format minio", "only S3's rules can be read from the bucket"},
		"nowhere to deploy yet": {"-bucket abc", "Set AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			account(t, map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
			var out, notes bytes.Buffer
			err := execute(t.Context(), append([]string{"import"}, strings.Fields(c.args)...), &out, &notes)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("the error is %v, want %q", err, c.err)
			}
			if out.Len() > 0 {
				t.Errorf("it prints\n%s", out.String())
			}
		})
	}
	if err := execute(t.Context(), []string{"import", "-bucket", "a b", "-file", path}, nil, nil); err == nil || !strings.Contains(err.Error(), "1 files of 2 buckets") {
		t.Errorf("the error is %v", err)
	}
}

func TestImportOfWhatS3Has(t *testing.T) {
	const configuration = `<?xml version="1.0" encoding="UTF-8"?>
<ReplicationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Role>arn:aws:iam::111122223333:role/r</Role>
<Rule><ID>old</ID><Priority>1</Priority><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>%s
<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>
<Destination><Bucket>arn:aws:s3:::copy</Bucket></Destination></Rule></ReplicationConfiguration>`
	answer := fmt.Sprintf(configuration, "")
	var asked []string
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		region := strings.Split(r.Header.Get("Authorization"), "/")[2]
		asked = append(asked, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery+" for "+region)
		switch {
		case r.Method == http.MethodHead && r.URL.Path == "/source":
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			w.WriteHeader(http.StatusMovedPermanently)
		case r.Method == http.MethodHead:
			w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
			w.WriteHeader(http.StatusForbidden) // another account's
		case r.URL.Path == "/source" && r.URL.Query().Has("replication"):
			fmt.Fprint(w, answer)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<Error><Code>ReplicationConfigurationNotFoundError</Code><Message>The replication configuration was not found</Message></Error>`)
		}
	}))
	t.Cleanup(s3.Close)
	account(t, map[string]string{"AWS_ENDPOINT_URL": s3.URL})

	printed, s, notes := importing(t, "-bucket", "source")
	if want := []rule.Backend{{Name: "aws-eu-west-1", Region: "eu-west-1"}, {Name: "aws-us-east-1", Region: "us-east-1"}}; !slices.Equal(s.Backends, want) {
		t.Errorf("the backends are %+v, want %+v", s.Backends, want)
	}
	if want := []string{"HEAD /source? for eu-central-1", "GET /source?replication= for eu-west-1", "HEAD /copy? for eu-central-1"}; !slices.Equal(asked, want) {
		t.Errorf("it asks\n%q\nwant\n%q", asked, want)
	}
	for _, said := range []string{
		"# The old rule still runs.", "#   aws s3api delete-bucket-replication --bucket source\n",
		"replication status is REPLICA", "#   make adopt RULE=old\n", "#   \"logs/*\" in copy\n",
	} {
		if !strings.Contains(printed, said) {
			t.Errorf("it does not say %q:\n%s", said, printed)
		}
	}
	if strings.Contains(printed, "in which region") {
		t.Errorf("it does not know the regions:\n%s", printed)
	}
	if !strings.Contains(notes, "reading from "+s3.URL) {
		t.Errorf("it does not say where it reads: %q", notes)
	}

	var out, told bytes.Buffer
	answer = fmt.Sprintf(configuration, "\n<New>1</New>") // the SDK knows no such field
	err := execute(t.Context(), []string{"import", "-bucket", "source"}, &out, &told)
	if err == nil || !strings.Contains(err.Error(), "source cannot be imported:\n4: Rule[0].New: is not a field") || out.Len() > 0 {
		t.Errorf("with a field that nobody knows the error is %v, it prints %q", err, out.String())
	}
	err = execute(t.Context(), []string{"import", "-bucket", "other"}, &out, &told)
	if err == nil || !strings.Contains(err.Error(), "read the replication configuration of other: ") || !strings.Contains(err.Error(), "ReplicationConfigurationNotFoundError") {
		t.Errorf("of a bucket without rules the error is %v", err)
	}
}
