// Package foreign reads how other systems write replication down, and says the
// same in rules of ours: S3's ReplicationConfiguration, MinIO's export and
// Backblaze's replicationConfiguration. What a rule cannot say is told in words,
// each time with what to do instead; a field that nobody here knows is an error.
//
// An imported rule does what its origin did, where that differs from our own
// defaults:
//
//   - It leaves nothing out: exclude_globs is empty.
//   - Objects that were there before the rule replicate only where the origin
//     says so. S3's default, and the others', is that they do not.
//   - Delete markers replicate where the origin says so, and in S3's first
//     version, whose rules have no Filter, always.
//   - The policy is newer-wins. S3 and MinIO keep an object's time of creation
//     in its replica, and of all versions the one created last is the current
//     one, on both sides: a write to the destination that is newer than the
//     source's stays on top of it. In two-way replication, too, the last writer
//     wins. None of the systems goes back to a replica that somebody rewrote
//     before its source is written again; source-wins would, in every reconcile.
//   - From a source that is not on AWS no events come, so its reconciles have to
//     run often: see pollInterval.
package foreign

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/rule"
)

// Format is how a text is written.
type Format string

// The formats.
const (
	// S3 is ReplicationConfiguration, as JSON or as XML, of AWS and of others
	// who speak S3, Exoscale for one; with or without the outer
	// "ReplicationConfiguration" that the AWS CLI prints.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-add-config.html
	// https://community.exoscale.com/community/storage/replication/config
	S3 Format = "s3"
	// MinIO is what mc replicate export prints, with or without --json; the
	// XML of MinIO's GetBucketReplication reads the same.
	// https://min.io/docs/minio/linux/reference/minio-mc/mc-replicate-export.html
	MinIO Format = "minio"
	// Backblaze is the JSON of a bucket's replicationConfiguration, as it is
	// sent to b2_update_bucket or answered by b2_list_buckets.
	// https://www.backblaze.com/apidocs/b2-update-bucket
	Backblaze Format = "backblaze"
)

// Document is the replication configuration of one bucket. Those of the buckets
// of a pair, or of a chain, belong into one import.
type Document struct {
	// Bucket that the configuration is of, which the text does not say: a
	// name, or a key of Options.Names.
	Bucket string
	Text   []byte
}

// Options say what is not in the texts.
type Options struct {
	// Names are buckets by what a text calls them: a Backblaze id, an ARN or
	// a name. Each is a name, or a URL, https://endpoint/name, of a bucket
	// that is not on AWS.
	Names map[string]string
	// Region is the deployment's, Regions are those of buckets on AWS, by
	// name, as far as they are known. A bucket elsewhere gets a backend.
	Region  string
	Regions map[string]string
}

// Imported is what the documents say, in our words.
type Imported struct {
	// Storage is a complete configuration: buckets, backends, rules.
	Storage rule.Storage
	// Losses are what it does not carry over, or does otherwise. Each is
	// told once.
	Losses []Loss
}

// Loss is something that the origin did, or held, and our rules do not.
type Loss struct {
	// Where in the text, as paths; "every rule" where it is not about a field.
	Where string
	// What is lost, and what to do Instead.
	What, Instead string
}

// S3 takes no larger configuration, and no more rules.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ReplicationConfiguration.html
const (
	maxText  = 2 << 20
	maxRules = 1000
)

// pollInterval is the interval of rules whose source sends no events. It is the
// default latency_target: what their origins did within seconds takes so long.
const pollInterval = rule.Duration(15 * time.Minute)

var importers = map[Format]func(*importer, Document){
	S3:        (*importer).s3,
	MinIO:     (*importer).minio,
	Backblaze: (*importer).backblaze,
}

// Formats are the names of all formats.
func Formats() []string { return []string{string(S3), string(MinIO), string(Backblaze)} }

// Import reads documents of one format, and finds everything that is wrong with
// them, ours included: what it answers may be used, and is valid, if
// rule.Problems(problems).Err() is nil. A problem's path is that of the text,
// "Rules[0].Filter"; of several documents it begins with the bucket.
func Import(format Format, documents []Document, o Options) (Imported, []rule.Problem) {
	im := newImporter(o)
	read, ok := importers[format]
	switch {
	case !ok:
		im.refuse(place{}, "%s is not a format (%s)", quote(string(format)), strings.Join(Formats(), ", "))
	case len(documents) == 0:
		im.refuse(place{}, "there is nothing to import")
	}
	for i, d := range documents {
		if !ok {
			break
		}
		im.prefix, im.lines = "", map[string]int{}
		if len(documents) > 1 {
			im.prefix = cmp.Or(d.Bucket, fmt.Sprintf("document %d", i+1)) + ": "
		}
		im.document(read, d)
	}
	im.validate()
	if len(documents) == 1 { // the lines of several texts have no order
		slices.SortStableFunc(im.problems, func(a, b rule.Problem) int { return a.Line - b.Line })
	}
	if more := im.errors - maxProblems; more > 0 {
		im.problems = append(im.problems, rule.Problem{Message: fmt.Sprintf("there are %d more problems", more)})
	}
	return Imported{Storage: im.storage, Losses: im.told()}, im.problems
}

func (im *importer) document(read func(*importer, Document), d Document) {
	switch {
	case d.Bucket == "":
		im.refuse(im.place(""), "which bucket is it of? A replication configuration does not name its source")
	case len(d.Text) > maxText:
		im.refuse(im.place(""), "has %d bytes; S3 takes %d at most", len(d.Text), maxText)
	default:
		read(im, d)
	}
}

// place is a field of a text.
type place struct {
	path string
	line int
}

// importer collects what the documents say. Of the current one it knows the
// lines of the fields, by path.
type importer struct {
	Options
	storage  rule.Storage
	losses   []loss
	places   map[string]place // of what is in storage, by its path there
	aliases  map[string]string
	names    map[string]bool // of rules
	problems []rule.Problem
	known    map[rule.Problem]bool
	refused  map[string]bool // by path
	errors   int             // told or not, without the warnings

	prefix string
	lines  map[string]int
}

type loss struct {
	what, instead string
	where         []string
}

func newImporter(o Options) *importer {
	s := rule.Default().Storage
	s.Buckets = map[string]rule.Bucket{}
	return &importer{
		Options: o,
		storage: s,
		places:  map[string]place{},
		aliases: map[string]string{},
		names:   map[string]bool{},
		known:   map[rule.Problem]bool{},
		refused: map[string]bool{},
		lines:   map[string]int{},
	}
}

// maxProblems bounds what is told of a text that is something else altogether.
// Warnings do not count, of which a rule has few.
const maxProblems = 100

func (im *importer) refuse(at place, format string, args ...any) {
	im.tell(rule.Problem{Path: at.path, Line: at.line, Message: fmt.Sprintf(format, args...)})
}

// missing refuses a field that has to be there, unless it is, or what it is part
// of, and was refused.
func (im *importer) missing(at place, what string) {
	if !nearest(im.refused, at.path) {
		im.refuse(at, "is missing: %s", what)
	}
}

func (im *importer) tell(p rule.Problem) {
	if im.known[p] {
		return
	}
	if !p.Warning {
		if im.errors++; im.errors > maxProblems {
			return
		}
		im.refused[p.Path] = true
	}
	im.known[p] = true
	im.problems = append(im.problems, p)
}

// everyRule is where a loss is that no field tells of.
var everyRule = place{path: "every rule"}

// lose notes a loss, once for all places where it is the same.
func (im *importer) lose(at place, what, instead string) {
	i := slices.IndexFunc(im.losses, func(l loss) bool { return l.what == what && l.instead == instead })
	if i < 0 {
		i = len(im.losses)
		im.losses = append(im.losses, loss{what: what, instead: instead})
	}
	if !slices.Contains(im.losses[i].where, at.path) {
		im.losses[i].where = append(im.losses[i].where, at.path)
	}
}

// told is the losses as they are answered. Of many places it names three.
func (im *importer) told() []Loss {
	var losses []Loss
	for _, l := range im.losses {
		where := strings.Join(l.where[:min(len(l.where), 3)], ", ")
		if more := len(l.where) - 3; more > 0 {
			where += fmt.Sprintf(" and %d more", more)
		}
		losses = append(losses, Loss{Where: where, What: l.what, Instead: l.instead})
	}
	return losses
}

// place is that of a path in the current document, on its line or on that of
// the nearest thing around it.
func (im *importer) place(path string) place {
	return place{path: strings.TrimSuffix(im.prefix+path, ": "), line: nearest(im.lines, path)}
}

// nearest is what is known of path, or of the nearest thing around it.
func nearest[T any](known map[string]T, path string) T {
	for {
		if t, ok := known[path]; ok || path == "" {
			return t
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// add adds a rule that was read at a place. Its fields' places are given by
// their paths in the rule.
func (im *importer) add(r rule.Rule, at place, fields map[string]place) {
	path := fmt.Sprintf("storage.replication.rules[%d]", len(im.storage.Replication.Rules))
	im.places[path] = at
	for field, at := range fields {
		im.places[path+"."+field] = at
	}
	im.storage.Replication.Rules = append(im.storage.Replication.Rules, r)
}

// room reports whether n more rules may be added, and refuses them if not.
func (im *importer) room(at place, n int) bool {
	if n == 0 {
		im.missing(at, "there are no rules")
		return false
	}
	if len(im.storage.Replication.Rules)+n > maxRules {
		im.refuse(at, "has %d rules; %d is the most, as in S3", len(im.storage.Replication.Rules)+n, maxRules)
		return false
	}
	return true
}

// validate says what our own grammar has against the rules, where the text has
// what it is about. What could not be read is a problem already.
func (im *importer) validate() {
	if len(im.storage.Replication.Rules) == 0 {
		return
	}
	foreign := maps.Clone(im.refused)
	for _, p := range rule.Validate(rule.Config{Storage: im.storage}) {
		if at := nearest(im.places, p.Path); !nearest(foreign, at.path) {
			p.Path, p.Line = at.path, at.line
			im.tell(p)
		}
	}
}

// name makes a rule's name of what the origin calls it.
func (im *importer) name(at place, id string, otherwise string) string {
	name := unique(cleaned(id), otherwise, func(n string) bool { return im.names[n] })
	im.names[name] = true
	switch {
	case id == "":
		im.lose(at, fmt.Sprintf("has no name; the rule is called %s", name), "change the name in the YAML, before it is deployed")
	case cleaned(id) == id && id != name:
		im.lose(at, fmt.Sprintf("%s is the name of another rule, too; this one is called %s", quote(id), name), "use that name, or change it in the YAML before it is deployed")
	case id != name:
		im.lose(at, fmt.Sprintf("%s cannot be a rule's name; the rule is called %s", quote(id), name), "use that name, or change it in the YAML before it is deployed")
	}
	return name
}

const maxName = 64

// cleaned is name with a dash for whatever a name of ours cannot have.
func cleaned(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '_' || r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '-'
	}, name)
	if strings.Trim(name, ".") == "" {
		name = strings.ReplaceAll(name, ".", "-")
	}
	return name[:min(len(name), maxName)]
}

// unique is name, or otherwise where that is empty, with a number behind it if
// it is taken.
func unique(name, otherwise string, taken func(string) bool) string {
	if name == "" {
		name = cleaned(otherwise)
	}
	free := name
	for n := 2; taken(free); n++ {
		number := fmt.Sprintf("-%d", n)
		free = name[:min(len(name), maxName-len(number))] + number
	}
	return free
}

// quote shows foreign text on one line, and not too much of it.
func quote(text string) string {
	const most = 120
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q...", strings.ToValidUTF8(text[:most], ""))
}

// deletes says what a rule of ours does otherwise that lets deletes follow.
func (im *importer) deletes(at place) {
	im.lose(at, "the origin passes every delete on; here a run or an hour of events with more than 1,000 deletes, or a run with more than 10 % of the keys, waits for approval",
		"raise max_deletes; make approve lets held deletes go")
}

// existing says what it means that a rule takes only what is written later.
func (im *importer) existing(at place) {
	im.lose(at, "existing objects do not replicate, as with the origin, and they are those written before the rule is made here: what the origin had not finished then stays behind",
		"deploy before the old rule is disabled; or set existing_objects: true, and the first run compares everything and copies what is missing")
}

// everywhere says what no rule of ours does.
func (im *importer) everywhere() {
	im.lose(everyRule, "the origin copies every version, with its version id and its time; here the current object is copied, as a version with an id and a time of its own",
		"nothing where the current state counts; with versions on at the destination, what replicas were before stays there")
	im.lose(everyRule, "ACLs do not travel, and retention and legal holds only with replicate_object_lock; objects encrypted with a customer's own key (SSE-C) are recorded as failures",
		"let the policy of the destination bucket grant access; set replicate_object_lock where the destination has Object Lock")
	im.lose(everyRule, "where the destination is the source of another rule, replicas go on from there; the origin does not replicate replicas",
		"nothing where there is no such rule; else leave their prefix out of it")
	im.lose(everyRule, "keys that end in a slash (folder markers) do not replicate",
		"nothing: S3 knows no folders, and tools show them by the keys below")
	im.lose(everyRule, "exclude_globs is empty, because the origin leaves nothing out; the default leaves out .deltaglider/**",
		`set exclude_globs: [".deltaglider/**"] where a DeltaGlider proxy is in front of the source`)
}
