package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
	"bucket-replicator/shared/rule/rulefile"
)

// importRules prints the rules of another system as a configuration of ours,
// with what it does not carry over in comments on top, so that they stay with
// it. Without files it reads the buckets themselves, which are S3's then.
func importRules(ctx context.Context, args []string, out, notes io.Writer) error {
	flags := flag.NewFlagSet("import", flag.ExitOnError)
	format := flags.String("format", string(foreign.S3), "how the file is written: "+strings.Join(foreign.Formats(), ", "))
	files := flags.String("file", "", "the file, or files with spaces between them; default: what S3 has for the buckets")
	buckets := flags.String("bucket", "", "the source bucket, or one for each file")
	said := flags.String("names", "", "what buckets are called in the file, with spaces between them: ID=name, or ID=https://endpoint/name")
	_ = flags.Parse(args) // exits on error

	names, err := namesOf(*said)
	if err != nil {
		return err
	}
	sources := strings.Fields(*buckets)
	if len(sources) == 0 {
		return errors.New("which bucket is the source? A replication configuration does not say: make import BUCKET=name")
	}
	if *files == "" {
		return importLive(ctx, foreign.Format(*format), sources, names, out, notes)
	}
	paths := []string{*files} // one name may have spaces
	if len(sources) > 1 {
		paths = strings.Fields(*files)
	}
	if len(paths) != len(sources) {
		return fmt.Errorf("%d files of %d buckets: each file is one bucket's, in the same order", len(paths), len(sources))
	}
	var documents []foreign.Document
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents = append(documents, foreign.Document{Bucket: sources[i], Text: text})
	}
	imported, problems := foreign.Import(foreign.Format(*format), documents, foreign.Options{Names: names})
	return printImported(out, *files, imported, problems, nil)
}

// namesOf takes "id=name id=name" apart.
func namesOf(said string) (map[string]string, error) {
	names := map[string]string{}
	for _, pair := range strings.Fields(said) {
		id, name, ok := strings.Cut(pair, "=")
		if !ok || id == "" || name == "" {
			return nil, fmt.Errorf("%q is not of the form ID=name", pair)
		}
		names[id] = name
	}
	return names, nil
}

// importLive imports what S3 itself has for the buckets. It asks for the region
// of each bucket, too: the configuration does not say.
func importLive(ctx context.Context, format foreign.Format, sources []string, names map[string]string, out, notes io.Writer) error {
	if format != foreign.S3 {
		return fmt.Errorf("only S3's rules can be read from the bucket: make import FORMAT=%s FILE=file", format)
	}
	account, _, err := target(ctx)
	if err != nil {
		return err
	}
	if account.Region == "" {
		return errors.New("in which region will this be deployed? Set AWS_REGION")
	}
	fmt.Fprintln(notes, "reading from", cmp.Or(aws.ToString(account.BaseEndpoint), "S3, for a deployment in "+account.Region))
	live := liveBuckets{account: account, regions: map[string]string{}}
	var documents []foreign.Document
	for _, bucket := range sources {
		text, err := live.replication(ctx, bucket)
		if err != nil {
			return fmt.Errorf("read the replication configuration of %s: %w", bucket, err)
		}
		documents = append(documents, foreign.Document{Bucket: bucket, Text: text})
	}
	o := foreign.Options{Names: names, Region: account.Region, Regions: live.regions}
	imported, problems := foreign.Import(format, documents, o)
	if rule.Problems(problems).Err() == nil { // now it is known which buckets there are
		for alias, b := range imported.Storage.Buckets {
			if b.Backend == "" { // on AWS
				live.region(ctx, cmp.Or(b.Name, alias))
			}
		}
		imported, problems = foreign.Import(format, documents, o)
	}
	return printImported(out, strings.Join(sources, ", "), imported, problems, takeOver(sources, imported.Storage))
}

// takeOver is how the old rules give way to the new ones.
func takeOver(sources []string, s rule.Storage) []string {
	advice := []string{
		"The old rule still runs. While both do, each object is written twice, which does no harm; but a replica that the old rule wrote last is not the new rule's own. " +
			"Deploy this, wait until make jobs shows a run that succeeded, and then disable the old rule, or delete all rules of the bucket:",
	}
	for _, bucket := range sources {
		advice = append(advice, "  aws s3api delete-bucket-replication --bucket "+bucket)
	}
	advice = append(advice, "The old rule leaves its replicas behind: the objects whose replication status is REPLICA. "+
		"To the new rule they are somebody else's, which a delete of the source does not reach, until it adopts them: "+
		"those with the etag of their source become its own, and nothing else does. When the old rule is disabled, once for each:")
	for _, r := range s.Replication.Rules {
		if !r.Enabled {
			continue // it has no runs
		}
		advice = append(advice, "  make adopt RULE="+r.Name)
	}
	advice = append(advice, "They are:")
	told := map[string]bool{}
	for _, r := range s.Replication.Rules {
		at, _ := s.Resolve(r.Destination.Bucket)
		where := fmt.Sprintf("  %q in %s", r.Destination.Prefix+"*", at.Name)
		if !told[where] {
			told[where] = true
			advice = append(advice, where)
		}
	}
	return advice
}

// liveBuckets asks S3 about buckets in any region.
type liveBuckets struct {
	account aws.Config
	regions map[string]string // by bucket, as far as S3 told
}

func (l liveBuckets) client(region string) *s3.Client {
	return s3.NewFromConfig(l.account, func(o *s3.Options) {
		if region != "" {
			o.Region = region
		}
		o.UsePathStyle = l.account.BaseEndpoint != nil
	})
}

// region finds the region of a bucket, which S3 says even to those whom it
// forbids everything else.
func (l liveBuckets) region(ctx context.Context, bucket string) string {
	if known := l.regions[bucket]; known != "" {
		return known
	}
	head, err := l.client("").HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	region := ""
	if refused := (*awshttp.ResponseError)(nil); err == nil {
		region = aws.ToString(head.BucketRegion)
	} else if errors.As(err, &refused) {
		region = refused.HTTPResponse().Header.Get("X-Amz-Bucket-Region")
	}
	if region != "" {
		l.regions[bucket] = region
	}
	return region
}

// replication is GetBucketReplication's answer as it comes: the SDK leaves out
// what it does not know.
func (l liveBuckets) replication(ctx context.Context, bucket string) ([]byte, error) {
	var text []byte
	keep := middleware.DeserializeMiddlewareFunc("KeepBody", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
			if text, err = io.ReadAll(answer.Body); err == nil {
				answer.Body = struct {
					io.Reader
					io.Closer
				}{bytes.NewReader(text), answer.Body}
			}
		}
		return out, metadata, err
	})
	_, err := l.client(l.region(ctx, bucket)).GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: &bucket},
		s3.WithAPIOptions(func(stack *middleware.Stack) error { return stack.Deserialize.Add(keep, middleware.After) }))
	return text, err
}

// printImported writes the YAML with the rest as comments, or nothing but the
// error where there is one.
func printImported(out io.Writer, from string, imported foreign.Imported, problems []rule.Problem, advice []string) error {
	if err := rule.Problems(problems).Err(); err != nil {
		return fmt.Errorf("%s cannot be imported:\n%w", from, err)
	}
	text, err := rulefile.Print(rule.Config{Storage: imported.Storage})
	if err != nil {
		return err
	}
	c := comments{}
	c.paragraph("", "Imported from "+from+".")
	for _, a := range advice {
		if !strings.HasPrefix(a, " ") {
			c.paragraph("", "")
		}
		c.paragraph("", a)
	}
	c.paragraph("", "")
	c.paragraph("", "What the origin does otherwise, and what to do instead:")
	for _, l := range imported.Losses {
		c.paragraph("", "")
		c.paragraph("", l.Where+":")
		c.paragraph("  ", l.What)
		c.paragraph("  -> ", l.Instead)
	}
	if len(problems) > 0 {
		c.paragraph("", "")
		c.paragraph("", "Likely not meant:")
	}
	for _, p := range problems {
		c.paragraph("  ", p.String())
	}
	_, err = fmt.Fprintf(out, "%s\n%s", c.String(), text)
	return err
}

// comments are YAML comments of lines that fit a screen.
type comments struct{ strings.Builder }

// paragraph writes text behind a mark, under which further lines are indented.
func (c *comments) paragraph(mark, text string) {
	const width = 110
	indent := mark + text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := indent
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > width {
			c.line(line)
			line = strings.Repeat(" ", len(indent)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	c.line(line)
}

func (c *comments) line(text string) { c.WriteString(strings.TrimRight("# "+text, " ") + "\n") }
