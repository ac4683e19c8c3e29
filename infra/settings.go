package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/parts"
)

// Settings are what a deployment chooses beside its configuration file. Each
// comes from the CDK context (`-c name=value`), else from the environment
// (REPLICATOR_NAME, with _ for -), else it has the default named here.
type Settings struct {
	// ConfigFile (`config`) is the configuration, relative to infra/, where
	// the CDK CLI runs this program. Default replication.yaml.
	ConfigFile string
	// Local (`local`) fits the stack to a local cloud: functions of this
	// machine's architecture, tables that a destroy removes, and no demand
	// for TLS. Default false.
	Local bool
	// StackName (`stack`) names the stack in the home region, and prefixes
	// the names of the queues and of the stacks in other source regions.
	// Two deployments in one account need two names. Default
	// bucket-replicator.
	StackName string
	// Region (`region`) is the home region: tables, queue and functions are
	// there. Default: the CDK CLI's, which is the AWS profile's.
	Region string
	// Account is the CDK CLI's. Empty where the CLI has no credentials; the
	// templates then fit any account.
	Account string
	// AlarmEmail (`alarm-email`) is subscribed to the alarm topic. Default
	// none: subscribe something to the AlarmTopicArn output.
	AlarmEmail string
	// KMSKeys (`kms-keys`) are the ARNs, separated by commas, of the keys
	// that source buckets are encrypted with and of the default keys of
	// destination buckets. S3 uses them on the function's behalf, so it needs
	// a permission that the bucket's name does not tell. Keys that a rule
	// names are known already. Default none.
	KMSKeys []string
	// MaxConcurrency (`max-concurrency`) bounds how many event functions run
	// at a time, 2 to 1,000, and with it the load on the buckets and the
	// share of the account's Lambda concurrency. Default 50.
	MaxConcurrency int
	// SweepConcurrency (`sweep-concurrency`) bounds how many workers of full
	// reconciles run at a time, 2 to 1,000, over all rules, and with it the
	// load that they put on the buckets beside the events'. Default 50.
	SweepConcurrency int
	// TransferConcurrency (`transfer-concurrency`) bounds how many workers copy
	// parts of large objects at a time, 2 to 1,000, and how many of them are
	// invited to one object. Default 50.
	TransferConcurrency int
	// TransferThreshold (`transfer-threshold`) is the size in bytes from which an
	// object is copied by parts, 5 MiB to 5 GiB. Default 512 MiB, for which see
	// decisions/10-large-objects-by-parts.md; 64 MiB on a local cloud, where it is
	// to be tried.
	TransferThreshold int
	// APILogRole (`api-log-role`) lets the stack set the role with which API
	// Gateway writes logs: a setting that an account has once per region, and
	// that access logs need. Choose false where somebody else has set it.
	// Default true.
	APILogRole bool
	// LogLevel (`log-level`) of the functions: debug, info, warn, error.
	// Default info.
	LogLevel string
	// Dist (`dist`) is where `make build` put the functions, relative to
	// infra/. Default ../dist.
	Dist string
}

var (
	stackNameSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,39}$`)
	keyARNSyntax    = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`)
)

// readSettings asks context and env for each setting; both answer "" for what
// they do not know. The error joins everything that is wrong.
func readSettings(context, env func(string) string) (Settings, error) {
	value := func(name, fallback string) string {
		variable := "REPLICATOR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		for _, v := range []string{context(name), env(variable)} {
			if v != "" {
				return v
			}
		}
		return fallback
	}

	var errs []error
	boolean := func(name, fallback string) bool {
		b, err := strconv.ParseBool(value(name, fallback))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is neither true nor false", name, value(name, "")))
		}
		return b
	}
	// An event source's bounds:
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
	concurrency := func(name string) int {
		n, err := strconv.Atoi(value(name, "50"))
		if err != nil || n < 2 || n > 1000 {
			errs = append(errs, fmt.Errorf("%s: %q is not a number from 2 to 1000", name, value(name, "")))
		}
		return n
	}
	bytes := func(name string, fallback, least, most int) int {
		n, err := strconv.Atoi(value(name, fmt.Sprint(fallback)))
		if err != nil || n < least || n > most {
			errs = append(errs, fmt.Errorf("%s: %q is not a number of bytes from %d to %d", name, value(name, ""), least, most))
		}
		return n
	}
	large := 512 << 20
	if local := value("local", "false"); local == "true" {
		large = 64 << 20
	}
	s := Settings{
		ConfigFile:       value("config", "replication.yaml"),
		Local:            boolean("local", "false"),
		StackName:        value("stack", "bucket-replicator"),
		Region:           value("region", env("CDK_DEFAULT_REGION")),
		Account:          env("CDK_DEFAULT_ACCOUNT"),
		AlarmEmail:       value("alarm-email", ""),
		MaxConcurrency:   concurrency("max-concurrency"),
		SweepConcurrency: concurrency("sweep-concurrency"),

		TransferConcurrency: concurrency("transfer-concurrency"),
		TransferThreshold:   bytes("transfer-threshold", large, parts.MinSize, parts.MaxSize),
		APILogRole:          boolean("api-log-role", "true"),
		LogLevel:            value("log-level", "info"),
		Dist:                value("dist", "../dist"),
	}
	if !stackNameSyntax.MatchString(s.StackName) {
		errs = append(errs, fmt.Errorf("stack: %q is not a stack name of up to 40 letters, digits and hyphens", s.StackName))
	}
	if s.Region == "" {
		errs = append(errs, errors.New("region: no home region: set AWS_REGION or choose a profile that has one"))
	}
	switch s.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		errs = append(errs, fmt.Errorf("log-level: %q is none of debug, info, warn, error", s.LogLevel))
	}
	for key := range strings.SplitSeq(value("kms-keys", ""), ",") {
		if key = strings.TrimSpace(key); key == "" {
			continue
		}
		if !keyARNSyntax.MatchString(key) {
			errs = append(errs, fmt.Errorf("kms-keys: %q is not the ARN of a KMS key", key))
		}
		s.KMSKeys = append(s.KMSKeys, key)
	}
	return s, errors.Join(errs...)
}

// metricsNamespace keeps two deployments in one account apart.
func (s Settings) metricsNamespace() string {
	return config.DefaultMetricsNamespace + "/" + s.StackName
}
