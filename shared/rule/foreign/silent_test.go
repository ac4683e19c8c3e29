package foreign_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
)

// full has every field of S3's that a JSON text may hold.
const full = `{"Role": "arn:aws:iam::111122223333:role/r", "Rules": [
	{"ID": "a", "Priority": 3, "Status": "Enabled", "Filter": {"And": {"Prefix": "p/", "Tags": [{"Key": "k", "Value": "v"}]}},
	"SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}, "ReplicaModifications": {"Status": "Enabled"}},
	"ExistingObjectReplication": {"Status": "Enabled"}, "DeleteMarkerReplication": {"Status": "Disabled"},
	"Destination": {"Bucket": "arn:aws:s3:::copy", "Account": "111122223333", "StorageClass": "GLACIER", "AccessControlTranslation": {"Owner": "Destination"},
		"EncryptionConfiguration": {"ReplicaKmsKeyID": "alias/k"}, "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 20}}}},
	{"ID": "b", "Priority": 5, "Status": "Enabled", "Filter": {"Prefix": "q/"}, "Destination": {"Bucket": "arn:aws:s3:::copy",
		"EncryptionConfiguration": {"ReplicaKmsKeyID": "alias/k"}, "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 30}}}},
	{"ID": "c", "Priority": 7, "Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Destination": {"Bucket": "arn:aws:s3:::copy"}},
	{"ID": "d", "Priority": 9, "Status": "Enabled", "Prefix": "r/", "Destination": {"Bucket": "arn:aws:s3:::other"}}]}`

// No field may be changed, or be left out, without its being seen in the rules,
// the losses or the problems.
func TestNothingIsDroppedInSilence(t *testing.T) {
	for name, c := range map[string]struct {
		format foreign.Format
		text   string
		o      foreign.Options
		silent map[string]string // what may be left out, or changed, and why
	}{
		"S3": {foreign.S3, full, foreign.Options{}, map[string]string{
			".Rules[0].DeleteMarkerReplication.Status": "is off, as it is by itself",
		}},
		"MinIO": {foreign.MinIO, read(t, "minio-export.json"), foreign.Options{}, map[string]string{
			".Rules[1].SourceSelectionCriteria.ReplicaModifications.Status": "is empty, which is how mc says that nothing is set",
			".Rules[1].ExistingObjectReplication.Status":                    "is empty, too",
			".Rules[1].DeleteMarkerReplication.Status":                      "is off, as it is by itself",
			".Role": "is empty, too",
		}},
		"Backblaze": {foreign.Backblaze, read(t, "backblaze-answered.json"), samples["backblaze-both"].o, map[string]string{
			".replicationConfiguration.value.asReplicationSource.replicationRules[0].fileNamePrefix":                           "is empty",
			".replicationConfiguration.isClientAuthorizedToRead":                                                               "is said of the reader",
			".replicationConfiguration.value.asReplicationDestination.sourceToDestinationKeyMapping.10053d55ae26b790000000045": "one of two keys: that there are keys is told, not which",
			".replicationConfiguration.value.asReplicationDestination.sourceToDestinationKeyMapping.10053d55ae26b790000000046": "the other one",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var document any
			if err := json.Unmarshal([]byte(c.text), &document); err != nil {
				t.Fatal(err)
			}
			outcome := func() (foreign.Imported, []rule.Problem) {
				text, err := json.Marshal(document)
				if err != nil {
					t.Fatal(err)
				}
				return foreign.Import(c.format, []foreign.Document{{Bucket: "photos", Text: text}}, c.o)
			}
			before, problems := outcome()
			if err := rule.Problems(problems).Err(); err != nil {
				t.Fatal(err)
			}
			each(document, "", nil, func(path string, change func(any)) {
				for _, to := range []any{nil, "changed", 11.0} {
					change(to)
					after, told := outcome()
					seen := !reflect.DeepEqual(before, after) || !reflect.DeepEqual(problems, told)
					if _, may := c.silent[path]; to == nil && seen == may {
						t.Errorf("%s left out: it is seen: %t", path, seen)
					} else if !seen && !may {
						t.Errorf("%s, changed to %v, is dropped in silence", path, to)
					}
				}
			})
		})
	}
}

// each visits the leaves of a document. What change set is undone afterwards.
func each(v any, path string, set func(any), visit func(path string, change func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			each(child, path+"."+name, func(to any) { v[name] = to }, visit)
		}
	case []any:
		for i, child := range v {
			each(child, fmt.Sprintf("%s[%d]", path, i), func(to any) { v[i] = to }, visit)
		}
	default:
		visit(path, set)
		set(v)
	}
}
