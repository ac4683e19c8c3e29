package foreign_test

import (
	"fmt"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
)

// problemsOf are the problems of one document, a line each.
func problemsOf(format foreign.Format, text string, o foreign.Options) string {
	_, problems := foreign.Import(format, []foreign.Document{{Bucket: "source", Text: []byte(text)}}, o)
	return strings.TrimSuffix(strings.ReplaceAll(rule.Problems(problems).In(""), "\n:", "\n"), "\n")
}

const (
	open  = `{"Role": "arn:aws:iam::111122223333:role/r", "Rules": [`
	whole = `"Status": "Enabled", "Filter": {}, "Destination": {"Bucket": "arn:aws:s3:::copy"}`
)

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		format foreign.Format
		text   string
		want   string
	}{
		"nothing":                   {foreign.S3, " \n", "1: is empty"},
		"a format nobody knows":     {"gcs", "{}", ` "gcs" is not a format (s3, minio, backblaze)`},
		"not UTF-8":                 {foreign.S3, "{\n\"Role\": \"\xff\"}", "2: is not UTF-8"},
		"half a character":          {foreign.S3, "{\n\"Role\": \"\\ud800\"}", `2: "�" holds half a character (U+FFFD)`},
		"JSON that ends too soon":   {foreign.S3, "{\"Rules\": [\n", "2: not JSON: unexpected end of JSON input"},
		"JSON with a comma to many": {foreign.S3, "{\n\"Rules\": [],\n}", "3: not JSON: invalid character '}' looking for beginning of object key string"},
		"two JSON texts":            {foreign.S3, "{}\n{}", "2: not JSON: invalid character '{' after top-level value"},
		"a list":                    {foreign.S3, "[]", "1: is a list, not an object"},
		"no rules":                  {foreign.S3, `{"Role": "r"}`, "1: Rules: is missing: there are no rules"},
		"JSON nested without end":   {foreign.S3, strings.Repeat("[", 100) + strings.Repeat("]", 100), "1: has more than 200000 values, or is nested more than 32 deep: this is no replication configuration"},
		"XML nested without end":    {foreign.S3, "<ReplicationConfiguration>" + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100), "1: has more than 200000 values, or is nested more than 32 deep: this is no replication configuration"},
		"JSON nested without bounds": {foreign.S3, strings.Repeat("[", 1_000_000),
			"1: not JSON: invalid character '[' exceeded max depth"},

		"an unknown field": {foreign.S3, open + "\n{" + whole + `, "Prioritee": 1}]}`, "2: Rules[0].Prioritee: is not a field; did you mean Priority?"},
		"an unknown field with a name of its own": {foreign.S3, open + "\n{" + whole + `, "x\ny": 1}]}`,
			`2: Rules[0].x\ny: is not a field (ID, Priority, Prefix, Filter, Status, SourceSelectionCriteria, ExistingObjectReplication, DeleteMarkerReplication, DeleteReplication, Destination)`},
		"a field given twice": {foreign.S3, open + "\n{" + whole + ",\n" + `"Status": "Disabled"}]}`, "3: Rules[0].Status: is given twice"},
		"something beside the outer object": {foreign.S3, `{"ReplicationConfiguration": ` + open + "{" + whole + `}]}, "Roles": 1}`,
			"1: Roles: is not a field (ReplicationConfiguration)"},
		"wrong types, all at once": {foreign.S3, "{\n\"Role\": 5,\n\"Rules\": [{\n\"ID\": true,\n\"Priority\": \"1\",\n\"Status\": \"enabled\",\n\"Filter\": [],\n\"Destination\": {\"Bucket\": {}}\n}]}", strings.Join([]string{
			"2: Role: is 5, not text",
			"4: Rules[0].ID: is true, not text",
			`5: Rules[0].Priority: is "1", not a whole number`,
			`6: Rules[0].Status: "enabled" is not one of: Enabled, Disabled`,
			"7: Rules[0].Filter: is a list, not an object",
			"8: Rules[0].Destination.Bucket: is an object, not text"}, "\n")},
		"a priority with a fraction": {foreign.S3, open + "{" + whole + `, "Priority": 1.5}]}`, "1: Rules[0].Priority: is 1.5, not a whole number"},
		"a priority too large":       {foreign.S3, open + "{" + whole + `, "Priority": 9999999999}]}`, "1: Rules[0].Priority: is 9999999999, not a whole number"},
		"a rule that is nothing":     {foreign.S3, open + "\nnull]}", "2: Rules[0].Destination: is missing: where replicas go\n2: Rules[0].Status: is missing: Enabled or Disabled"},
		"no bucket":                  {foreign.S3, open + "\n" + `{"Status": "Enabled", "Destination": {}}]}`, "2: Rules[0].Destination.Bucket: is missing: the bucket that replicas go to"},
		"an ARN of something else": {foreign.S3, open + `{"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:eu-west-1:111122223333:accesspoint/x"}}]}`,
			`1: Rules[0].Destination.Bucket: "arn:aws:s3:eu-west-1:111122223333:accesspoint/x" is not the ARN of a bucket`},
		"a name where AWS wants an ARN": {foreign.S3, open + `{"Status": "Enabled", "Destination": {"Bucket": "copy"}}]}`,
			`1: Rules[0].Destination.Bucket: "copy" is not the ARN of a bucket: arn:aws:s3:::name`},
		"a target of MinIO's": {foreign.S3, `{"Rules": [{"Status": "Enabled", "Destination": {"Bucket": "arn:minio:replication::x:copy"}}]}`,
			`1: Rules[0].Destination.Bucket: "arn:minio:replication::x:copy" is a target of MinIO's: import it with the format minio`},
		"an extension of MinIO's": {foreign.S3, open + "{" + whole + `, "DeleteReplication": {"Status": "Disabled"}}]}`, "1: Rules[0].DeleteReplication: is an extension of MinIO's: import it with the format minio"},
		"a bucket that cannot be": {foreign.S3, open + `{"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::Copy"}}]}`, `1: Rules[0].Destination.Bucket: "Copy" is not a bucket name: it has lower-case letters, digits, dots and dashes, and begins and ends with a letter or digit; where the alias cannot be the bucket's name, set name`},
		"a storage class of Outposts": {foreign.S3, open + `{"Status": "Enabled", "Filter": {}, "Destination": {"Bucket": "arn:aws:s3:::copy", "StorageClass": "OUTPOSTS"}}]}`,
			`1: Rules[0].Destination.StorageClass: "OUTPOSTS" is not a storage class (STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE, REDUCED_REDUNDANCY)`},
		"an owner that is not the destination's": {foreign.S3, open + `{"Status": "Enabled", "Filter": {}, "Destination": {"Bucket": "arn:aws:s3:::copy", "AccessControlTranslation": {"Owner": "me"}}}]}`,
			`1: Rules[0].Destination.AccessControlTranslation.Owner: "me" is not one of: Destination`},
		"encrypted objects without a key for their replicas": {foreign.S3, open + "{" + whole + `, "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}}}]}`,
			"1: Rules[0].Destination.EncryptionConfiguration.ReplicaKmsKeyID: is missing: the key for replicas of the objects that SseKmsEncryptedObjects selects"},
		"no time at all": {foreign.S3, open + `{"Status": "Enabled", "Filter": {}, "Destination": {"Bucket": "arn:aws:s3:::copy", "ReplicationTime": {"Status": "Enabled"}}}]}`,
			"1: Rules[0].Destination.ReplicationTime.Time.Minutes: 0 is not within 1 to 1440"},
		"two filters":         {foreign.S3, open + `{"Status": "Enabled", "Filter": {"Prefix": "a/", "Tag": {"Key": "k", "Value": "v"}}, "Destination": {"Bucket": "arn:aws:s3:::copy"}}]}`, "1: Rules[0].Filter: has more than one of Prefix, Tag and And: put them all into And"},
		"two kinds of prefix": {foreign.S3, open + `{"Prefix": "a/", ` + whole + `}]}`, "1: Rules[0].Prefix: does not go with a Filter; put it in there"},
		"a tag asked for twice": {foreign.S3, open + `{"Status": "Enabled", "Filter": {"And": {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "w"}]}}, "Destination": {"Bucket": "arn:aws:s3:::copy"}}]}`,
			`1: Rules[0].Filter: asks for the tag "k" twice`},
		"a tag without a name": {foreign.S3, open + `{"Status": "Enabled", "Filter": {"Tag": {"Value": "w"}}, "Destination": {"Bucket": "arn:aws:s3:::copy"}}]}`,
			`1: Rules[0].Filter: "" is not a tag: its name has 1 to 128 characters`},
		"an ID twice": {foreign.S3, open + "{\"ID\": \"a\", \"Priority\": 1, " + whole + "},\n{\"ID\": \"a\", \"Priority\": 2, " + whole + "}]}", `2: Rules[1].ID: "a" is the ID of Rules[0], too`},
		"one priority for two rules that write the same": {foreign.S3, open + `{"ID": "a", "Priority": 1, ` + whole + "},\n" + `{"ID": "b", "Priority": 1, ` + whole + "}]}",
			`2: Rules[1].Priority: rule "a" also writes to aws/copy under "" and has the same priority, 1: give the one that shall win a higher priority`},
		"a bucket into itself": {foreign.S3, open + "\n" + `{"Status": "Enabled", "Filter": {"Prefix": "a/"}, "Destination": {"Bucket": "arn:aws:s3:::source"}}]}`,
			`2: Rules[0].Destination.Bucket: overlaps with the source: "a/" and "a/" of one bucket have keys in common, so replicas would be replicated again`},

		"XML that ends too soon":  {foreign.S3, "<ReplicationConfiguration>\n<Rule>", "2: not XML: unexpected EOF"},
		"XML without an element":  {foreign.S3, "<?xml version=\"1.0\"?>\n", "2: not XML: there is no element"},
		"XML of something else":   {foreign.S3, "<Error><Code>ReplicationConfigurationNotFoundError</Code></Error>", "1: is <Error>, not <ReplicationConfiguration>"},
		"XML with two roots":      {foreign.S3, "<ReplicationConfiguration/>\n<x/>", "2: not XML: <x> is a second root"},
		"XML with text outside":   {foreign.S3, "<ReplicationConfiguration/>\nx", `2: not XML: "x" is outside of any element`},
		"XML with text beside":    {foreign.S3, "<ReplicationConfiguration>\nx<Rule/></ReplicationConfiguration>", `2: <ReplicationConfiguration> has text beside its parts: "x"`},
		"XML in another encoding": {foreign.S3, `<?xml version="1.0" encoding="UTF-16"?><ReplicationConfiguration/>`, `1: not XML: xml: encoding "UTF-16" declared but Decoder.CharsetReader is nil`},
		"XML with an attribute":   {foreign.S3, `<ReplicationConfiguration a="b"/>`, `1: <ReplicationConfiguration> has an attribute, "a"`},
		"XML that defines entities": {foreign.S3, `<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><ReplicationConfiguration><Role>&lol2;</Role></ReplicationConfiguration>`,
			`1: has a <!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>, which a configuration has no use for`},
		"XML with an entity of its own": {foreign.S3, `<ReplicationConfiguration><Role>&lol2;</Role></ReplicationConfiguration>`, "1: not XML: invalid character entity &lol2;"},
		"XML with what nobody knows, twice and wrong": {foreign.S3, "<ReplicationConfiguration>\n<Rule>\n<Status>on</Status>\n<Statuses/>\n<ID>a</ID><ID>b</ID>\n<Priority>high</Priority>\n<Destination>x</Destination>\n</Rule></ReplicationConfiguration>", strings.Join([]string{
			`3: Rule[0].Status: "on" is not one of: Enabled, Disabled`,
			"4: Rule[0].Statuses: is not a field; did you mean Status?",
			"5: Rule[0].ID: is given twice",
			`6: Rule[0].Priority: is "high", not a whole number`,
			`7: Rule[0].Destination: is "x", not an object`,
		}, "\n")},

		"an export of something else": {foreign.MinIO, "{\"config\": {},\n\"error\": {}}", "1: config.Rules: is missing: there are no rules\n2: error: is not a field (config, op, status, url)"},
		"a message of mc's":           {foreign.MinIO, "No replication configuration found for data.", "1: not JSON: invalid character 'N' looking for beginning of value"},

		"XML for Backblaze": {foreign.Backblaze, "<x/>", "1: is XML; the format is written as JSON"},
		"a bucket of Backblaze's that nobody named": {foreign.Backblaze, "{\"asReplicationSource\": {\"replicationRules\": [{\n\"destinationBucketId\": \"85644d\", \"isEnabled\": true,\n\"replicationRuleName\": \"r\"}]}}",
			`2: asReplicationSource.replicationRules[0].destinationBucketId: which bucket "85644d" is the text does not say: import it with names that say 85644d=name`},
		"a rule of Backblaze's with nothing in it": {foreign.Backblaze, "{\"asReplicationSource\": {\"replicationRules\": [{}]}}",
			"1: asReplicationSource.replicationRules[0].isEnabled: is missing: true or false\n1: asReplicationSource.replicationRules[0].destinationBucketId: is missing: the bucket that replicas go to"},
		"a bucket of Backblaze's that replicates nowhere": {foreign.Backblaze, `{"replicationConfiguration": {"isClientAuthorizedToRead": true, "value": null}}`,
			"1: replicationConfiguration.value.asReplicationSource.replicationRules: is missing: there are no rules"},
		"a destination of Backblaze's": {foreign.Backblaze, `{"asReplicationSource": null, "asReplicationDestination": {"sourceToDestinationKeyMapping": {"a": "b"}}}`,
			"1: asReplicationSource.replicationRules: holds no rules: the bucket is a destination only; import the configuration of its source"},
		"a key of Backblaze's twice": {foreign.Backblaze, `{"asReplicationDestination": {"sourceToDestinationKeyMapping": {"a": "b", "a": "c"}}}`,
			"1: asReplicationDestination.sourceToDestinationKeyMapping.a: is given twice\n1: asReplicationSource.replicationRules: holds no rules: the bucket is a destination only; import the configuration of its source"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.TrimPrefix(problemsOf(c.format, c.text, foreign.Options{}), ":"); got != c.want {
				t.Errorf("problems are:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestNamesThatNameNothing(t *testing.T) {
	for said, fault := range map[string]string{
		"":                                "is said to be something",
		"https://minio.example/":          "is said to be something",
		"https://minio.example/a/b":       "is said to be something",
		"https://u:secret@minio/copy":     "is said to be something",
		"https://minio.example/copy?x=y":  "is said to be something",
		"https://minio.example:port/copy": "is said to be something",
		"ftp://minio.example/copy":        `"ftp://minio.example" is not a URL`,
		"Copy!":                           `"Copy!" is not a bucket name`,
	} {
		t.Run(said, func(t *testing.T) {
			got := problemsOf(foreign.MinIO, `{"Rules": [{"ID": "r", "Status": "Enabled", "Destination": {"Bucket": "arn:minio:replication::x:copy"}}]}`,
				foreign.Options{Names: map[string]string{"copy": said}})
			if !strings.HasPrefix(got, ":1: Rules[0].Destination.Bucket: "+fault) || strings.Contains(got, "secret") || strings.Contains(got, "\n") {
				t.Errorf("problems are:\n%s", got)
			}
		})
	}
}

func TestDocumentsAreToldApart(t *testing.T) {
	text := func(to string) []byte {
		return []byte(`{"Rules": [{"ID": "x", "Filter": {"Prefix": "p"}, "Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::` + to + `"}}]}`)
	}
	_, problems := foreign.Import(foreign.S3, []foreign.Document{
		{Bucket: "bucket-one", Text: text("bucket-two")},
		{Bucket: "bucket-two", Text: text("bucket-one")},
		{Bucket: "bucket-six", Text: text("bucket-one")},
		{Bucket: "bucket-ten", Text: []byte("{")},
		{Text: text("bucket-one")},
	}, foreign.Options{})
	got := rule.Problems(problems).Err().Error()
	want := strings.Join([]string{
		"1: bucket-ten: not JSON: unexpected end of JSON input",
		"document 5: which bucket is it of? A replication configuration does not name its source",
		`1: bucket-six: Rules[0].Priority: rule "x-2" also writes to aws/bucket-one under "p" and has the same priority, 0: give the one that shall win a higher priority`,
	}, "\n")
	if got != want {
		t.Errorf("problems are:\n%s\nwant:\n%s", got, want)
	}
	if _, problems := foreign.Import(foreign.S3, nil, foreign.Options{}); rule.Problems(problems).Err() == nil {
		t.Error("nothing at all is accepted")
	}
}

func TestLargeTextsAreRefusedOrReadInTime(t *testing.T) {
	rules := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"ID": "rule %d", "Priority": %d, %s}`, i, i, whole))
		}
		return open + strings.Join(list, ",\n") + "]}"
	}
	for name, c := range map[string]struct{ text, want string }{
		"as many rules as S3 takes":     {rules(1000), ""},
		"one more":                      {rules(1001), ":1: Rules: has 1001 rules; 1000 is the most, as in S3"},
		"a megabyte of rules":           {rules(8000), ":1: Rules: has 8000 rules; 1000 is the most, as in S3"},
		"more than S3 takes":            {rules(20_000), ":"},
		"a megabyte of values":          {`{"Rules": [` + strings.Repeat("0,", 500_000) + "0]}", ":1: has more than 200000 values, or is nested more than 32 deep: this is no replication configuration"},
		"a megabyte of unknown fields":  {`{` + strings.Repeat(`"Rulez": 0,`, 100_000) + `"Rules": []}`, ":1: Rulez: is not a field; did you mean Rules?\n1: Rules: is missing: there are no rules"},
		"a name of a megabyte":          {`{"` + strings.Repeat("R", 1<<20) + `": 0}`, ":1: " + strings.Repeat("R", 120) + ": is not a field (Role, Rules)\n1: Rules: is missing: there are no rules"},
		"a text of a megabyte":          {open + `{"ID": "` + strings.Repeat("x", 1<<20) + `", ` + whole + "}]}", ""},
		"XML in a million small pieces": {"<ReplicationConfiguration><Role>" + strings.Repeat("a<!---->", 200_000) + "</Role></ReplicationConfiguration>", ":1: Rule: is missing: there are no rules"},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(foreign.S3, c.text, foreign.Options{})
			if name == "more than S3 takes" {
				c.want = fmt.Sprintf(": has %d bytes; S3 takes 2097152 at most", len(c.text))
			}
			if got != c.want {
				t.Errorf("problems are:\n%.2000s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestProblemsWithoutEndAreCut(t *testing.T) {
	var fields []string
	for i := range 5000 {
		fields = append(fields, fmt.Sprintf(`"field%d": 0`, i))
	}
	_, problems := foreign.Import(foreign.S3, []foreign.Document{{Bucket: "source", Text: []byte("{" + strings.Join(fields, ",") + "}")}}, foreign.Options{})
	if last := problems[len(problems)-1]; len(problems) != 101 || last.Message != "there are 4901 more problems" {
		t.Errorf("%d problems, the last one is %v", len(problems), last)
	}
}

func TestWarningsRefuseNothing(t *testing.T) {
	var list []string
	for i := range 200 {
		list = append(list, fmt.Sprintf(`{"ID": "r%[1]d", "Priority": %[1]d, "Status": "Enabled", "Prefix": "p%[1]d", "Destination": {"Bucket": "arn:aws:s3:::copy"}}`, i))
	}
	_, problems := foreign.Import(foreign.S3, []foreign.Document{{Bucket: "source", Text: []byte(open + strings.Join(list, ",") + "]}")}}, foreign.Options{})
	if err := rule.Problems(problems).Err(); err != nil || len(problems) != 200 {
		t.Errorf("%d warnings become: %v", len(problems), err)
	}
}

func TestOfManyPlacesThreeAreNamed(t *testing.T) {
	var list []string
	for i := range 5 {
		list = append(list, fmt.Sprintf(`{"ID": "r%d", "Priority": %d, %s}`, i, i, whole))
	}
	imported, _ := foreign.Import(foreign.S3, []foreign.Document{{Bucket: "source", Text: []byte(open + strings.Join(list, ",") + "]}")}}, foreign.Options{})
	for _, l := range imported.Losses {
		if l.Where == "Rules[0].Destination.StorageClass, Rules[1].Destination.StorageClass, Rules[2].Destination.StorageClass and 2 more" {
			return
		}
	}
	t.Errorf("the losses are\n%s", losses(imported))
}

// S3 and MinIO keep an object's key, so rules that lead back to their own bucket
// overlap with themselves, whatever the bucket is called. Rings of several
// buckets settle, and are what people mean.
func TestRulesThatLeadBack(t *testing.T) {
	to := func(bucket, target string) foreign.Document {
		return foreign.Document{Bucket: bucket, Text: []byte("{\"Rules\": [\n" +
			`{"ID": "to ` + bucket + `", "Status": "Enabled", "Filter": {"Prefix": "shared/"}, "Destination": {"Bucket": "arn:minio:replication::x:` + target + `"}}]}`)}
	}
	at := func(name string) string { return "https://minio.example:9000/" + name }
	here := foreign.Options{Names: map[string]string{
		"one": at("one"), "two": at("two"), "six": at("six"), "other": at("one"),
		"arn:minio:replication::x:one": at("one"), "arn:minio:replication::x:two": at("two"), "arn:minio:replication::x:six": at("six"), "arn:minio:replication::x:other": at("one"),
	}}
	for name, c := range map[string]struct {
		documents []foreign.Document
		want      string
	}{
		"a pair": {[]foreign.Document{to("one", "two"), to("two", "one")}, ""},
		"a ring": {[]foreign.Document{to("one", "two"), to("two", "six"), to("six", "one")}, ""},
		"a bucket into itself": {[]foreign.Document{to("one", "one")},
			`2: Rules[0].Destination.Bucket: overlaps with the source: "shared/" and "shared/" of one bucket have keys in common, so replicas would be replicated again`},
		"a bucket into itself, by another name": {[]foreign.Document{to("two", "six"), to("one", "other")},
			`2: one: Rules[0].Destination.Bucket: overlaps with the source: "shared/" and "shared/" of one bucket have keys in common, so replicas would be replicated again`},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := foreign.Import(foreign.MinIO, c.documents, here)
			got := ""
			if err := rule.Problems(problems).Err(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("the error is\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
