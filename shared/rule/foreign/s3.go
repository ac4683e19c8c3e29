package foreign

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"bucket-replicator/shared/rule"
)

// configuration is S3's ReplicationConfiguration. MinIO's is a part of it, and
// has DeleteReplication besides.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ReplicationConfiguration.html
type configuration struct {
	Role  string
	Rules []s3Rule `xml:"Rule"`
}

type s3Rule struct {
	ID                        string
	Priority                  int
	Prefix                    *string // of the first version, without Filter
	Filter                    *filter
	Status                    status
	SourceSelectionCriteria   selection
	ExistingObjectReplication switched
	DeleteMarkerReplication   *switched
	DeleteReplication         *switched // MinIO's own
	Destination               *destination
}

type filter struct {
	Prefix string
	Tag    tag
	And    struct {
		Prefix string
		Tags   []tag `xml:"Tag"`
	}
}

type tag struct{ Key, Value string }

type selection struct {
	SseKmsEncryptedObjects switched
	ReplicaModifications   switched
}

type destination struct {
	Bucket                   string
	Account                  string
	StorageClass             string
	AccessControlTranslation struct{ Owner owner }
	EncryptionConfiguration  struct{ ReplicaKmsKeyID string }
	ReplicationTime          struct {
		Status status
		Time   minutes
	}
	Metrics struct {
		Status         status
		EventThreshold *minutes
	}
}

type minutes struct{ Minutes int }

type switched struct{ Status status }

type status string

const on status = "Enabled"

func (status) choices() []string { return []string{string(on), "Disabled"} }

type owner string

func (owner) choices() []string { return []string{"Destination"} }

var (
	s3ARN    = regexp.MustCompile(`^arn:aws[a-z-]*:s3:::([^:/]+)$`)
	minioARN = regexp.MustCompile(`^arn:minio:replication:([^:]*):[^:]*:([^:/]+)$`)
)

// dialect is what S3 and MinIO, whose configurations are alike, say otherwise.
type dialect struct {
	name Format
	aws  bool // it is AWS's own
	// lists is what the list of rules is called, with what is around it.
	lists  string
	source mention
	role   string
}

func (im *importer) s3(d Document) {
	const root = "ReplicationConfiguration"
	var c configuration
	at, lists, ok := im.read(d.Text, root, &c, func(n *node) (string, *node) { return im.unwrap("", n, root) })
	if !ok {
		return
	}
	aws := strings.HasPrefix(c.Role, "arn:aws")
	for _, r := range c.Rules {
		aws = aws || r.Destination != nil && s3ARN.MatchString(r.Destination.Bucket)
	}
	if c.Role != "" {
		im.lose(im.place(join(at, "Role")), "the role "+quote(c.Role)+" is not used",
			"nothing: the functions have roles of their own, which a deployment gives what the rules need; delete it with the old rule")
	}
	im.configuration(c, dialect{name: S3, aws: aws, lists: join(at, lists), role: c.Role,
		source: mention{at: im.source(), name: d.Bucket, keys: []string{d.Bucket}, aws: aws, identity: d.Bucket}})
}

// minio reads what mc replicate export prints. What a target is, is not in it
// but for the name of the bucket.
func (im *importer) minio(d Document) {
	var c configuration
	at, lists, ok := im.read(d.Text, "ReplicationConfiguration", &c, func(n *node) (string, *node) {
		return im.unwrap("", n, "config", "op", "status", "url") // with --json
	})
	if !ok {
		return
	}
	im.configuration(c, dialect{name: MinIO, lists: join(at, lists), role: c.Role,
		source: mention{at: im.source(), name: d.Bucket, keys: []string{d.Bucket}, identity: "source " + d.Bucket}})
	im.lose(everyRule, "what is set on the remote target is not in an export: credentials, synchronous replication, a bandwidth limit, reads passed on to the target",
		"to know that an object has its replica, ask the admin API: GET /objects?bucket=&key=&wait=20s; limits.bytes_per_second takes the bandwidth")
}

// source is the place of what the text does not say.
func (im *importer) source() place { return place{path: im.prefix + "source bucket"} }

func (im *importer) configuration(c configuration, d dialect) {
	if !im.room(im.place(d.lists), len(c.Rules)) {
		return
	}
	first := map[string]string{}
	for i, r := range c.Rules {
		path := fmt.Sprintf("%s[%d]", d.lists, i)
		if where, taken := first[r.ID]; taken && r.ID != "" {
			im.refuse(im.place(path+".ID"), "%s is the ID of %s, too", quote(r.ID), where)
		} else {
			first[r.ID] = path
		}
		im.s3Rule(path, r, d)
	}
	im.everywhere()
}

func (im *importer) s3Rule(path string, in s3Rule, d dialect) {
	at := func(field string) place { return im.place(path + "." + field) }
	to, ok := im.destination(path+".Destination", in.Destination, d)
	if in.Status == "" {
		im.missing(at("Status"), "Enabled or Disabled")
	}
	prefix, tags, filtered := im.filter(path, in)
	if !ok {
		return
	}
	r := newRule()
	im.sides(&r, d.source, to, prefix)
	r.Name = im.name(at("ID"), in.ID, r.Source.Bucket+"-to-"+r.Destination.Bucket)
	r.Enabled = in.Status == on
	r.Priority = in.Priority
	r.Tags = tags
	if r.ExistingObjects = in.ExistingObjectReplication.Status == on; !r.ExistingObjects {
		im.existing(at("ExistingObjectReplication"))
	}
	im.s3Deletes(path, &r, in, d)
	im.selected(path, &r, in, d)
	im.replicas(path+".Destination", &r, *in.Destination, d)
	im.add(r, im.place(path), map[string]place{
		"name": at("ID"), "priority": at("Priority"), "tags": filtered,
		"source.prefix": filtered, "destination.prefix": filtered,
		"source.bucket": d.source.at, "destination": at("Destination.Bucket"),
		"storage_class": at("Destination.StorageClass"), "sse": at("Destination.EncryptionConfiguration.ReplicaKmsKeyID"),
		"latency_target": at("Destination"),
	})
}

// destination is the bucket that a rule writes to, false where none is said.
func (im *importer) destination(path string, in *destination, d dialect) (mention, bool) {
	if in == nil {
		im.missing(im.place(path), "where replicas go")
		return mention{}, false
	}
	said := in.Bucket
	m := mention{at: im.place(path + ".Bucket"), name: said, keys: []string{said}, identity: said}
	amazon, target := s3ARN.FindStringSubmatch(said), minioARN.FindStringSubmatch(said)
	switch {
	case said == "":
		im.missing(m.at, "the bucket that replicas go to")
		return m, false
	case d.name == S3 && target != nil:
		im.refuse(m.at, "%s is a target of MinIO's: import it with the format minio", quote(said))
		return m, false
	case d.name == S3 && amazon != nil:
		m.name, m.aws = amazon[1], true
		m.keys = append(m.keys, m.name)
	case target != nil:
		m.region, m.name = target[1], target[2]
		m.keys = append(m.keys, m.name)
	case amazon != nil: // before there could be several targets, the role was the target
		m.name = amazon[1]
		m.keys = []string{d.role, said, m.name}
		m.identity = d.role + " " + m.name
	case strings.HasPrefix(said, "arn:"):
		im.refuse(m.at, "%s is not the ARN of a bucket", quote(said))
		return m, false
	case d.aws:
		im.refuse(m.at, "%s is not the ARN of a bucket: arn:aws:s3:::name", quote(said))
		return m, false
	}
	return m, true
}

// filter is which keys and tags a rule is about, and where that is said.
func (im *importer) filter(path string, in s3Rule) (prefix string, tags map[string]string, at place) {
	if in.Filter == nil {
		if in.Prefix != nil {
			prefix = *in.Prefix
		}
		return prefix, nil, im.place(path + ".Prefix")
	}
	at = im.place(path + ".Filter")
	f := *in.Filter
	if in.Prefix != nil && *in.Prefix != "" {
		im.refuse(im.place(path+".Prefix"), "does not go with a Filter; put it in there")
	}
	of := 0
	for _, set := range []bool{f.Prefix != "", f.Tag != (tag{}), f.And.Prefix != "" || len(f.And.Tags) > 0} {
		if set {
			of++
		}
	}
	if of > 1 {
		im.refuse(at, "has more than one of Prefix, Tag and And: put them all into And")
	}
	all := f.And.Tags
	if f.Tag != (tag{}) {
		all = []tag{f.Tag}
	}
	for _, t := range all {
		if _, twice := tags[t.Key]; twice {
			im.refuse(at, "asks for the tag %s twice", quote(t.Key))
		}
		if tags == nil {
			tags = map[string]string{}
		}
		tags[t.Key] = t.Value
	}
	return f.Prefix + f.And.Prefix, tags, at
}

// s3Deletes sets which deletes follow. In the first version of S3's rules,
// without Filter, delete markers always do.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-add-config.html#replication-backward-compat-considerations
func (im *importer) s3Deletes(path string, r *rule.Rule, in s3Rule, d dialect) {
	if in.DeleteMarkerReplication != nil {
		r.DeleteMarkers = in.DeleteMarkerReplication.Status == on
	} else {
		r.DeleteMarkers = d.name == S3 && in.Filter == nil
	}
	if at := im.place(path + ".DeleteReplication"); in.DeleteReplication != nil && d.name != MinIO {
		im.refuse(at, "is an extension of MinIO's: import it with the format minio")
	} else if in.DeleteReplication != nil && in.DeleteReplication.Status == on {
		r.ReplicateDeletes = r.DeleteMarkers
		if r.ReplicateDeletes {
			im.lose(at, "deletes of single versions do not follow; when an object has no version left, its replica gets a delete marker, and keeps its versions",
				"a lifecycle rule of the destination removes versions that are not current, and markers over nothing")
		} else {
			im.lose(at, "deletes of single versions do not follow, nor the delete of the last one: replicate_deletes would let delete markers follow, too",
				"set replicate_deletes where delete markers may follow; a lifecycle rule of the destination removes versions that are not current")
		}
	}
	if r.DeleteMarkers {
		im.deletes(im.place(path + ".DeleteMarkerReplication"))
	}
}

// selected says what a rule selects by anything but keys and tags.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
func (im *importer) selected(path string, r *rule.Rule, in s3Rule, d dialect) {
	criteria := path + ".SourceSelectionCriteria"
	key := in.Destination.EncryptionConfiguration.ReplicaKmsKeyID
	atKey := im.place(path + ".Destination.EncryptionConfiguration.ReplicaKmsKeyID")
	switch {
	case in.SourceSelectionCriteria.SseKmsEncryptedObjects.Status == on && key == "":
		im.missing(atKey, "the key for replicas of the objects that SseKmsEncryptedObjects selects")
	case in.SourceSelectionCriteria.SseKmsEncryptedObjects.Status == on:
		r.SSE.Mode, r.SSE.KMSKey = "aws:kms", key
		im.lose(atKey, "the key encrypts every replica; S3 takes it for those of objects that are encrypted with KMS, and DSSE stays DSSE",
			"set sse.mode: aws:kms:dsse where all objects are; remove sse to have the destination bucket's default instead, and name the key there")
		im.lose(im.place(criteria+".SseKmsEncryptedObjects"), "with which keys the objects of the source are encrypted is not in the text",
			"deploy with REPLICATOR_KMS_KEYS set to their ARNs")
	case d.aws:
		im.lose(im.place(criteria), "S3 leaves objects out that are encrypted with KMS; no rule has such a filter, so that they replicate, or fail where the functions may not use their key",
			"leave their keys out with exclude_globs; or deploy with REPLICATOR_KMS_KEYS set to the ARNs of the keys, and they replicate")
		if key != "" {
			im.lose(atKey, "the key "+quote(key)+" is not used: S3 takes it for objects encrypted with KMS, which the rule does not select",
				"set sse if replicas shall be encrypted with it")
		}
	}
	if in.SourceSelectionCriteria.ReplicaModifications.Status == on {
		im.lose(im.place(criteria+".ReplicaModifications"), "changes of a replica's metadata do not go back to its source by this rule alone",
			"import the destination bucket's configuration with this one: with rules both ways a rewritten replica, or one with new tags, replicates back like any write, and the last writer wins")
	}
}

// replicas sets what replicas are like, and how soon they are there.
func (im *importer) replicas(path string, r *rule.Rule, in destination, d dialect) {
	at := func(field string) place { return im.place(path + "." + field) }
	if r.StorageClass = in.StorageClass; in.StorageClass == "" && d.aws {
		im.lose(at("StorageClass"), "replicas are STANDARD; S3 gives them the storage class of their source",
			"set storage_class, or let a lifecycle rule of the destination move them")
	}
	if r.OwnerOverride = in.AccessControlTranslation.Owner != ""; r.OwnerOverride {
		im.lose(at("AccessControlTranslation.Owner"), "S3 makes the account of the destination the owner of replicas; owner_override gives it full control",
			"set the bucket's Object Ownership to BucketOwnerEnforced or BucketOwnerPreferred, and it is the owner, too")
	}
	if in.Account != "" {
		im.lose(at("Account"), "the destination belongs to the account "+quote(in.Account)+", which nothing here checks",
			"let that bucket's policy admit the roles of the functions, or give the bucket a backend with a credentials_secret of that account")
	}
	timed := in.ReplicationTime.Status == on
	switch threshold := in.Metrics.EventThreshold; {
	case timed:
		im.latency(at("ReplicationTime.Time.Minutes"), r, in.ReplicationTime.Time.Minutes)
	case in.Metrics.Status == on && threshold != nil:
		im.latency(at("Metrics.EventThreshold.Minutes"), r, threshold.Minutes)
	}
}

func (im *importer) latency(at place, r *rule.Rule, minutes int) {
	if minutes < 1 || minutes > 24*60 {
		im.refuse(at, "%d is not within 1 to %d", minutes, 24*60)
		return
	}
	r.LatencyTarget = rule.Duration(time.Duration(minutes) * time.Minute)
	im.lose(at, "S3's time is a promise of AWS's, with an event for each object that misses it; latency_target is an alarm",
		"deploy with REPLICATOR_ALARM_EMAIL; make failures lists what could not be replicated, and why")
}

// newRule is a rule of ours that leaves nothing out.
func newRule() rule.Rule {
	r := rule.DefaultRule()
	r.ExcludeGlobs = []string{}
	return r
}
