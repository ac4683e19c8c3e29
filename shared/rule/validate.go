package rule

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
)

// Validate finds everything that is wrong with a configuration, in the order of
// its fields. It knows what can be known without asking a backend.
func Validate(c Config) []Problem {
	v := validator{storage: c.Storage, backends: []string{object.AWS}}
	v.checkBackends()
	v.checkBuckets()
	v.checkReplication()
	for i, r := range c.Storage.Replication.Rules {
		v.checkRule(i, r)
	}
	v.checkTogether()
	return v.problems
}

type validator struct {
	storage  Storage
	backends []string // known names
	aliases  []string // in order
	problems []Problem
}

func (v *validator) refuse(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) warn(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// refuseName says that name is not one of known, and which of them it may mean.
func (v *validator) refuseName(path, name, what string, known []string) {
	hint := ""
	if n := Nearest(name, known); n != "" {
		hint = "; did you mean " + n + "?"
	}
	v.refuse(path, "%q is not %s%s (%s)", name, what, hint, strings.Join(known, ", "))
}

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	regionPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	// A policy knows a secret by its whole ARN, the six characters that Secrets
	// Manager adds to the name included.
	secretPattern   = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+-[A-Za-z0-9]{6}$`)
	rolePattern     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9/_+=,.@-]+$`)
	externalPattern = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]{2,1000}$`)
	topicPattern    = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$`)
	accountPattern  = regexp.MustCompile(`^[0-9]{12}$`)
)

// nameRule says what namePattern does.
const nameRule = "1 to 64 letters, digits, dots, dashes and underscores"

// checkName refuses a name that is missing, malformed or taken.
func (v *validator) checkName(path, name string, taken []string) {
	switch {
	case name == "":
		v.refuse(path, "is missing: a name of %s", nameRule)
	case !namePattern.MatchString(name):
		v.refuse(path, "%q is not a name: %s", name, nameRule)
	case strings.Trim(name, ".") == "":
		v.refuse(path, "%q is not a name: browsers and proxies take a path of dots for another", name)
	case slices.Contains(taken, name):
		v.refuse(path, "%q is taken: names are unique", name)
	}
}

func (v *validator) checkBackends() {
	for i, b := range v.storage.Backends {
		path := fmt.Sprintf("storage.backends[%d]", i)
		if b.Name == object.AWS {
			v.refuse(path+".name", "%q always means this account's AWS; choose another name", b.Name)
		} else {
			v.checkName(path+".name", b.Name, v.backends)
		}
		v.backends = append(v.backends, b.Name)
		if b.Endpoint != "" {
			if fault := endpointFault(b.Endpoint); fault != "" {
				v.refuse(path+".endpoint", "%q %s", b.Endpoint, fault)
			}
		}
		if b.Region != "" && !regionPattern.MatchString(b.Region) {
			v.refuse(path+".region", "%q is not a region such as eu-central-1", b.Region)
		}
		v.checkSecret(path+".credentials_secret", b.CredentialsSecret)
		v.checkSecret(path+".webhook_secret", b.WebhookSecret)
		if b.Topic != "" && !topicPattern.MatchString(b.Topic) {
			v.refuse(path+".topic", "%q is not the ARN of a topic: arn:aws:sns:<region>:<account>:<name>", b.Topic)
		}
		v.checkAccount(path, b)
		if b.Endpoint == "" && b.Region == "" && b.CredentialsSecret == "" && b.RoleARN == "" && b.Account == "" {
			v.refuse(path, "is no other place than %s: it needs an endpoint, a region, a credentials_secret, a role_arn or an account", object.AWS)
		}
		if b.PathStyle && b.Endpoint == "" {
			v.refuse(path+".path_style", "is for an endpoint of your own; AWS is addressed by host name")
		}
	}
}

func (v *validator) checkSecret(path, arn string) {
	if arn != "" && !secretPattern.MatchString(arn) {
		v.refuse(path, "%q is not the whole ARN of a secret: arn:aws:secretsmanager:<region>:<account>:secret:<name>-<six characters>", arn)
	}
}

// checkAccount checks how a backend lets us into another AWS account.
func (v *validator) checkAccount(path string, b Backend) {
	switch {
	case b.RoleARN != "" && !rolePattern.MatchString(b.RoleARN):
		v.refuse(path+".role_arn", "%q is not the ARN of a role: arn:aws:iam::<account>:role/<name>", b.RoleARN)
	case b.RoleARN != "" && b.CredentialsSecret != "":
		v.refuse(path+".role_arn", "goes with no credentials_secret: requests are signed by one of them")
	case b.RoleARN != "" && b.Endpoint != "":
		v.refuse(path+".role_arn", "is for AWS: an endpoint of your own takes a credentials_secret")
	}
	switch {
	case b.ExternalID != "" && b.RoleARN == "":
		v.refuse(path+".external_id", "goes with a role_arn")
	case b.ExternalID != "" && !externalPattern.MatchString(b.ExternalID):
		v.refuse(path+".external_id", "%q is not an external id: 2 to 1,000 letters, digits and _+=,.@:/-", b.ExternalID)
	}
	switch {
	case b.Account != "" && !accountPattern.MatchString(b.Account):
		v.refuse(path+".account", "%q is not an AWS account: 12 digits", b.Account)
	case b.Account != "" && b.Endpoint != "":
		v.refuse(path+".account", "is for AWS, not for an endpoint of your own")
	case b.Account != "" && (b.RoleARN != "" || b.CredentialsSecret != ""):
		v.refuse(path+".account", "is for buckets that the functions' own roles reach: leave it out beside a role_arn or a credentials_secret")
	}
}

// endpointFault is what is wrong with an endpoint, or "".
func endpointFault(endpoint string) string {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "is not a URL such as https://minio.example:9000"
	case u.User != nil:
		return "holds credentials; put them into a credentials_secret"
	case u.RawQuery != "" || u.Fragment != "":
		return "has a query or a fragment, which a request would lose"
	default:
		return ""
	}
}

func (v *validator) checkBuckets() {
	v.aliases = slices.Sorted(maps.Keys(v.storage.Buckets))
	if len(v.aliases) == 0 {
		v.refuse("storage.buckets", "is missing: the buckets that rules may use, by alias")
	}
	owner := map[object.Bucket]string{}
	onAWS := map[string]string{} // alias by physical name
	for _, alias := range v.aliases {
		b, path := v.storage.Buckets[alias], "storage.buckets."+alias
		if !namePattern.MatchString(alias) {
			v.refuse(path, "%q is not an alias: %s", alias, nameRule)
		}
		if b.Backend != "" && !slices.Contains(v.backends, b.Backend) {
			v.refuseName(path+".backend", b.Backend, "a backend", v.backends)
		}
		at, _ := v.storage.Resolve(alias)
		if fault := bucketFault(at.Name, v.onAWS(at)); fault != "" {
			namePath, advice := path+".name", ""
			if b.Name == "" {
				namePath, advice = path, "; where the alias cannot be the bucket's name, set name"
			}
			v.refuse(namePath, "%q is not a bucket name: it %s%s", at.Name, fault, advice)
		}
		if other, ok := owner[at]; ok {
			v.refuse(path, "is the same bucket as %s: %s; one alias is enough", other, at)
		} else if other, ok := onAWS[at.Name]; ok && v.onAWS(at) {
			v.warn(path, "has the name of %s, and both are on AWS, where a name belongs to one bucket in all regions and accounts of a partition: are they the same bucket?", other)
		}
		owner[at] = alias
		if v.onAWS(at) {
			onAWS[at.Name] = alias
		}
		if b.Create && at.Backend != object.AWS {
			v.refuse(path+".create", "the stack can only own buckets of its own account and region: remove create or backend")
		}
	}
}

// onAWS reports whether b is on AWS, whichever region or account.
func (v *validator) onAWS(b object.Bucket) bool {
	for _, backend := range v.storage.Backends {
		if backend.Name == b.Backend {
			return backend.Endpoint == ""
		}
	}
	return true
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)

// bucketFault is what is wrong with a bucket's name, or "".
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func bucketFault(name string, onAWS bool) string {
	switch {
	case len(name) < 3 || len(name) > 63:
		return "has 3 to 63 characters"
	case !bucketPattern.MatchString(name):
		return "has lower-case letters, digits, dots and dashes, and begins and ends with a letter or digit"
	case strings.Contains(name, ".."):
		return "has no two dots in a row"
	case net.ParseIP(name) != nil:
		return "is not an IP address"
	}
	if !onAWS {
		return ""
	}
	for _, reserved := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, reserved) {
			return "does not begin with " + reserved + ", which AWS reserves"
		}
	}
	for _, reserved := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, reserved) {
			return "does not end in " + reserved + ", which AWS reserves"
		}
	}
	return ""
}

func (v *validator) checkReplication() {
	r, path := v.storage.Replication, "storage.replication"
	if t := time.Duration(r.TickInterval); t < time.Minute || t > 24*time.Hour || t%time.Minute != 0 {
		v.refuse(path+".tick_interval", "%s is not a whole number of minutes from 1m to 24h: AWS schedules offer no less, and no alarm watches for more", r.TickInterval)
	}
	v.checkBetween(path+".max_failures_retained", int64(r.MaxFailuresRetained), 1, 10_000)
}

// checkBetween refuses n outside low to high, both inclusive.
func (v *validator) checkBetween(path string, n, low, high int64) {
	if n < low || n > high {
		v.refuse(path, "%d is not within %d to %d", n, low, high)
	}
}
