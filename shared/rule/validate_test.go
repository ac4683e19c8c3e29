package rule_test

import (
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/rule"
)

func TestValidateAcceptsWhatIsRight(t *testing.T) {
	for name, c := range map[string]rule.Config{
		"no rules yet: they come through the API": config(),
		"one rule with every default":             config(mirror("m")),
		"every setting used": config(func() rule.Rule {
			r := between("all", "photos:2024/", "far:archive/2024/")
			r.Interval, r.BatchSize, r.Conflict, r.Priority = rule.Duration(time.Minute), 10_000, rule.SourceWins, -3
			r.IncludeGlobs, r.ExcludeGlobs = []string{"2024/**/*.{jpg,png}"}, []string{"**/.tmp/**"}
			r.DeleteMarkers, r.ReplicateDeletes, r.ReplicateLifecycleDeletes = true, true, true
			r.MaxDeletes = rule.MaxDeletes{Count: 0, Percent: 100}
			r.Tags = map[string]string{"keep": ""}
			r.MinSize, r.MaxSize, r.StorageClass, r.OwnerOverride = 1, 1, "GLACIER_IR", true
			r.SSE.Mode, r.SSE.KMSKey = "aws:kms:dsse", "alias/replicas"
			r.ReplicateObjectLock, r.ReplicateWebsiteRedirects = true, true
			r.Limits = rule.Limits{Concurrency: 4, BytesPerSecond: 1 << 20, Window: "22:00-06:00"}
			return r
		}()),
	} {
		t.Run(name, func(t *testing.T) {
			expectOnly(t, rule.Validate(c), "", "", false)
		})
	}
}

func TestValidateRefusesInStorage(t *testing.T) {
	backend := func(b rule.Backend) func(*rule.Storage) {
		return func(s *rule.Storage) { s.Backends = append(s.Backends, b) }
	}
	bucket := func(alias string, b rule.Bucket) func(*rule.Storage) {
		return func(s *rule.Storage) { s.Buckets[alias] = b }
	}
	for name, c := range map[string]struct {
		change    func(*rule.Storage)
		path, say string
	}{
		"a backend called aws":                 {backend(rule.Backend{Name: "aws", Region: "eu-west-1"}), "storage.backends[1].name", "always means this account's AWS"},
		"a backend without a name":             {backend(rule.Backend{Region: "eu-west-1"}), "storage.backends[1].name", "is missing"},
		"two backends of one name":             {backend(rule.Backend{Name: "minio", Region: "eu-west-1"}), "storage.backends[1].name", `"minio" is taken`},
		"a backend that says nothing":          {backend(rule.Backend{Name: "b"}), "storage.backends[1]", "needs an endpoint, a region, "},
		"an endpoint without a scheme":         {backend(rule.Backend{Name: "b", Endpoint: "minio.example:9000"}), "storage.backends[1].endpoint", "is not a URL such as"},
		"an endpoint for another protocol":     {backend(rule.Backend{Name: "b", Endpoint: "ftp://minio.example"}), "storage.backends[1].endpoint", "is not a URL such as"},
		"an endpoint without a host":           {backend(rule.Backend{Name: "b", Endpoint: "https://:9000"}), "storage.backends[1].endpoint", "is not a URL such as"},
		"an endpoint with a password":          {backend(rule.Backend{Name: "b", Endpoint: "https://a:b@minio.example"}), "storage.backends[1].endpoint", "holds credentials"},
		"an endpoint with a query":             {backend(rule.Backend{Name: "b", Endpoint: "https://minio.example?x=1"}), "storage.backends[1].endpoint", "has a query"},
		"a region that is a sentence":          {backend(rule.Backend{Name: "b", Region: "EU (Frankfurt)"}), "storage.backends[1].region", "is not a region such as"},
		"a secret by its name alone":           {backend(rule.Backend{Name: "b", CredentialsSecret: "minio"}), "storage.backends[1].credentials_secret", "is not the whole ARN of a secret"},
		"a secret without its six characters":  {backend(rule.Backend{Name: "b", CredentialsSecret: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:minio"}), "storage.backends[1].credentials_secret", "-<six characters>"},
		"a webhook's secret by its name alone": {backend(rule.Backend{Name: "b", Region: "eu-west-1", WebhookSecret: "hook"}), "storage.backends[1].webhook_secret", "is not the whole ARN of a secret"},
		"a topic by its name alone":            {backend(rule.Backend{Name: "b", Region: "eu-west-1", Topic: "events"}), "storage.backends[1].topic", "is not the ARN of a topic"},
		"a role by its name alone":             {backend(rule.Backend{Name: "b", RoleARN: "replicator"}), "storage.backends[1].role_arn", "is not the ARN of a role"},
		"a role at an endpoint":                {backend(rule.Backend{Name: "b", Endpoint: "https://minio.example", RoleARN: "arn:aws:iam::111122223333:role/r"}), "storage.backends[1].role_arn", "is for AWS"},
		"a role and a secret":                  {backend(rule.Backend{Name: "b", RoleARN: "arn:aws:iam::111122223333:role/r", CredentialsSecret: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:minio-AbCdEf"}), "storage.backends[1].role_arn", "goes with no credentials_secret"},
		"an external id without a role":        {backend(rule.Backend{Name: "b", Region: "eu-west-1", ExternalID: "word"}), "storage.backends[1].external_id", "goes with a role_arn"},
		"an external id of two words":          {backend(rule.Backend{Name: "b", RoleARN: "arn:aws:iam::111122223333:role/r", ExternalID: "two words"}), "storage.backends[1].external_id", "is not an external id"},
		"an account of eleven digits":          {backend(rule.Backend{Name: "b", Account: "11112222333"}), "storage.backends[1].account", "12 digits"},
		"an account at an endpoint":            {backend(rule.Backend{Name: "b", Endpoint: "https://minio.example", Account: "111122223333"}), "storage.backends[1].account", "is for AWS"},
		"an account beside a role":             {backend(rule.Backend{Name: "b", RoleARN: "arn:aws:iam::111122223333:role/r", Account: "111122223333"}), "storage.backends[1].account", "leave it out"},
		"path style on AWS":                    {backend(rule.Backend{Name: "b", Region: "eu-west-1", PathStyle: true}), "storage.backends[1].path_style", "is for an endpoint of your own"},
		"no buckets":                           {func(s *rule.Storage) { s.Buckets = nil }, "storage.buckets", "is missing"},
		"an alias with a space":                {bucket("a b", rule.Bucket{Name: "abc"}), "storage.buckets.a b", "is not an alias"},
		"an alias that cannot be the name":     {bucket("A_B", rule.Bucket{}), "storage.buckets.A_B", "set name"},
		"an unknown backend":                   {bucket("new", rule.Bucket{Backend: "mino"}), "storage.buckets.new.backend", `"mino" is not a backend; did you mean minio? (aws, minio)`},
		"a bucket name with capitals":          {bucket("new", rule.Bucket{Name: "New"}), "storage.buckets.new.name", "has lower-case letters"},
		"a bucket name of two letters":         {bucket("new", rule.Bucket{Name: "ab"}), "storage.buckets.new.name", "has 3 to 63 characters"},
		"a bucket name of 64 letters":          {bucket("new", rule.Bucket{Name: strings.Repeat("a", 64)}), "storage.buckets.new.name", "has 3 to 63 characters"},
		"a bucket name with two dots":          {bucket("new", rule.Bucket{Name: "a..b"}), "storage.buckets.new.name", "two dots"},
		"a bucket name that is an address":     {bucket("new", rule.Bucket{Name: "10.0.0.1"}), "storage.buckets.new.name", "is not an IP address"},
		"a bucket name that AWS reserves":      {bucket("new", rule.Bucket{Name: "data--x-s3"}), "storage.buckets.new.name", "does not end in --x-s3"},
		"another name that AWS reserves":       {bucket("new", rule.Bucket{Name: "xn--data"}), "storage.buckets.new.name", "does not begin with xn--"},
		"two aliases of one bucket":            {bucket("zoo", rule.Bucket{Backend: "aws", Name: "photos"}), "storage.buckets.zoo", "is the same bucket as photos: aws/photos"},
		"creating a bucket on another server":  {bucket("new", rule.Bucket{Backend: "minio", Create: true}), "storage.buckets.new.create", "can only own buckets of its own account"},
		"a tick below a minute":                {func(s *rule.Storage) { s.Replication.TickInterval = rule.Duration(30 * time.Second) }, "storage.replication.tick_interval", "30s is not a whole number of minutes"},
		"a tick beyond a day":                  {func(s *rule.Storage) { s.Replication.TickInterval = rule.Duration(25 * time.Hour) }, "storage.replication.tick_interval", "not a whole number of minutes from 1m to 24h"},
		"a tick between two minutes":           {func(s *rule.Storage) { s.Replication.TickInterval = rule.Duration(90 * time.Second) }, "storage.replication.tick_interval", "1m30s is not a whole number"},
		"keeping no failures":                  {func(s *rule.Storage) { s.Replication.MaxFailuresRetained = 0 }, "storage.replication.max_failures_retained", "0 is not within 1 to 10000"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := config()
			c.change(&conf.Storage)
			expectOnly(t, rule.Validate(conf), c.path, c.say, false)
		})
	}
}

func TestValidateWarnsOfOneNameOnTwoSidesOfAWS(t *testing.T) {
	c := config()
	c.Storage.Backends = append(c.Storage.Backends, rule.Backend{Name: "aws-dr", Region: "eu-central-1"})
	c.Storage.Buckets["photos-dr"] = rule.Bucket{Backend: "aws-dr", Name: "photos"}
	expectOnly(t, rule.Validate(c), "storage.buckets.photos-dr", "are they the same bucket?", true)
}

func TestValidateRefusesInRule(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*rule.Rule)
		path, say string
	}{
		"no name":                              {func(r *rule.Rule) { r.Name = "" }, "name", "is missing"},
		"a name with a slash":                  {func(r *rule.Rule) { r.Name = "a/b" }, "name", `"a/b" is not a name: 1 to 64 letters`},
		"a name that leads up in a path":       {func(r *rule.Rule) { r.Name = ".." }, "name", `".." is not a name`},
		"a name of 65 letters":                 {func(r *rule.Rule) { r.Name = strings.Repeat("a", 65) }, "name", "is not a name"},
		"the name of another rule":             {func(r *rule.Rule) { r.Name = "first" }, "name", `"first" is taken`},
		"no source bucket":                     {func(r *rule.Rule) { r.Source.Bucket = "" }, "source.bucket", "is missing"},
		"an unknown destination":               {func(r *rule.Rule) { r.Destination.Bucket = "copys" }, "destination.bucket", `"copys" is not a bucket of storage.buckets; did you mean copies? (copies, far, photos, plain, third)`},
		"a prefix longer than any key":         {func(r *rule.Rule) { r.Source.Prefix = strings.Repeat("a", 1025) }, "source.prefix", "has 1025 bytes"},
		"a prefix that is not UTF-8":           {func(r *rule.Rule) { r.Source.Prefix = "\xff/" }, "source.prefix", "is not UTF-8"},
		"a prefix with a line's end":           {func(r *rule.Rule) { r.Source.Prefix = "a\n/" }, "source.prefix", "has a control character"},
		"a glob with a tab":                    {func(r *rule.Rule) { r.IncludeGlobs = []string{"a\tb"} }, "include_globs[0]", "has a control character"},
		"a KMS key of two words":               {func(r *rule.Rule) { r.SSE.Mode, r.SSE.KMSKey = "aws:kms", "my key" }, "sse.kms_key", "is not a key's id"},
		"an interval below the tick":           {func(r *rule.Rule) { r.Interval = rule.Duration(59 * time.Second) }, "interval", "59s is below the tick_interval of 1m"},
		"batches of nothing":                   {func(r *rule.Rule) { r.BatchSize = 0 }, "batch_size", "0 is not within 1 to 10000"},
		"a batch above ten thousand":           {func(r *rule.Rule) { r.BatchSize = 10_001 }, "batch_size", "10001 is not within"},
		"an unknown policy":                    {func(r *rule.Rule) { r.Conflict = "newest" }, "conflict", `"newest" is not a policy; did you mean newer-wins? (newer-wins, source-wins, skip-if-dest-exists)`},
		"a glob that does not end":             {func(r *rule.Rule) { r.ExcludeGlobs = []string{"ok/*", "a/{b,c"} }, "exclude_globs[1]", `"a/{b,c" is not a glob`},
		"a glob that is empty":                 {func(r *rule.Rule) { r.IncludeGlobs = []string{""} }, "include_globs[0]", "is empty"},
		"markers to a bucket without versions": {func(r *rule.Rule) { r.DeleteMarkers, r.Destination.Bucket = true, "plain" }, "delete_markers", "plain is created without"},
		"a negative delete limit":              {func(r *rule.Rule) { r.MaxDeletes.Count = -1 }, "max_deletes.count", "-1 is not within 0 to"},
		"more than all":                        {func(r *rule.Rule) { r.MaxDeletes.Percent = 101 }, "max_deletes.percent", "101 is not within 0 to 100"},
		"more tags than an object has":         {func(r *rule.Rule) { r.Tags = manyTags(11) }, "tags", "asks for 11 tags"},
		"a tag that S3 does not take":          {func(r *rule.Rule) { r.Tags = map[string]string{"<<": "x"} }, "tags.<<", `"<<": "x" is not a tag: letters`},
		"a tag without a name":                 {func(r *rule.Rule) { r.Tags = map[string]string{"": "x"} }, "tags.", "1 to 128 characters"},
		"a tag with too long a value":          {func(r *rule.Rule) { r.Tags = map[string]string{"k": strings.Repeat("v", 257)} }, "tags.k", "256 characters"},
		"a negative size":                      {func(r *rule.Rule) { r.MinSize = -1 }, "min_size", "-1 is below 0"},
		"a negative limit of size":             {func(r *rule.Rule) { r.MaxSize = -1 }, "max_size", "-1 is below 0"},
		"sizes that no object has":             {func(r *rule.Rule) { r.MinSize, r.MaxSize = 2, 1 }, "max_size", "no object is both"},
		"an unknown storage class":             {func(r *rule.Rule) { r.StorageClass = "glacier" }, "storage_class", `"glacier" is not a storage class; did you mean GLACIER?`},
		"an unknown encryption":                {func(r *rule.Rule) { r.SSE.Mode = "kms" }, "sse.mode", `"kms" is not an encryption mode`},
		"no bucket key without KMS":            {func(r *rule.Rule) { r.SSE.BucketKey = false }, "sse.bucket_key", "goes with mode aws:kms"},
		"a KMS key without KMS":                {func(r *rule.Rule) { r.SSE.Mode, r.SSE.KMSKey = "AES256", "k" }, "sse.kms_key", "goes with mode aws:kms"},
		"a negative concurrency":               {func(r *rule.Rule) { r.Limits.Concurrency = -1 }, "limits.concurrency", "-1 is not within"},
		"a negative rate":                      {func(r *rule.Rule) { r.Limits.BytesPerSecond = -1 }, "limits.bytes_per_second", "-1 is below 0"},
		"a window after midnight's end":        {func(r *rule.Rule) { r.Limits.Window = "22:00-24:00" }, "limits.window", "is not a time of day such as"},
		"nothing outside no window":            {func(r *rule.Rule) { r.Limits.OutsideWindow = rule.Nothing }, "limits.outside_window", "goes with a window only"},
		"something unknown outside the window": {func(r *rule.Rule) { r.Limits.Window, r.Limits.OutsideWindow = "22:00-06:00", "all" }, "limits.outside_window", "is not one of"},
		"a window of no time":                  {func(r *rule.Rule) { r.Limits.Window = "22:00-22:00" }, "limits.window", "is empty"},
		"a latency below a second":             {func(r *rule.Rule) { r.LatencyTarget = 0 }, "latency_target", "0s is below 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := mirror("second")
			c.change(&broken)
			got := rule.Validate(config(between("first", "third:", "far:"), broken))
			expectOnly(t, got, "storage.replication.rules[1]."+c.path, c.say, false)
		})
	}
}

func TestValidateWarnsInRule(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*rule.Rule)
		path, say string
	}{
		"a source prefix without a slash":      {func(r *rule.Rule) { r.Source.Prefix = "logs-2026" }, "source.prefix", `also stands for keys such as "logs-2026a/x"; write "logs-2026/"`},
		"a destination prefix without a slash": {func(r *rule.Rule) { r.Destination.Prefix = "backup" }, "destination.prefix", `write "backup/"`},
		"a prefix that begins with a slash":    {func(r *rule.Rule) { r.Source.Prefix = "/logs/" }, "source.prefix", "begins with a slash"},
		"a glob relative to the prefix": {func(r *rule.Rule) {
			r.Source.Prefix, r.IncludeGlobs = "logs/", []string{"*.txt"}
		}, "include_globs[0]", `"*.txt" matches no key under "logs/"`},
		"an exclude glob beside the prefix": {func(r *rule.Rule) {
			r.Source.Prefix, r.ExcludeGlobs = "logs/", []string{".deltaglider/**", "tmp/**"}
		}, "exclude_globs[1]", `"tmp/**" matches no key under "logs/"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := mirror("m")
			c.change(&r)
			expectOnly(t, rule.Validate(config(r)), "storage.replication.rules[0]."+c.path, c.say, true)
		})
	}
}

func TestValidateSaysNothingAboutGlobsThatMayMatch(t *testing.T) {
	r := between("m", "photos:logs/app/", "copies:")
	r.IncludeGlobs = []string{"**/*.txt", "logs/**", "logs/app/*", "logs/{app,web/x}/*", "logs[/]app/x", "*/*/x", "**"}
	expectOnly(t, rule.Validate(config(r)), "", "", false)
}

func TestValidateFindsEveryProblemAtOnce(t *testing.T) {
	r := mirror("m")
	r.BatchSize, r.Conflict, r.Source.Bucket = 0, "newest", "foto"
	c := config(r)
	c.Storage.Replication.TickInterval = 0
	c.Storage.Backends[0].Endpoint = "minio"
	if got := rule.Validate(c); len(got) != 5 {
		t.Errorf("want 5 problems, got:\n%s", rule.Problems(got).In("config"))
	}
}

func manyTags(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags[string(rune('a'+i))] = ""
	}
	return tags
}
