package conformance

import (
	"maps"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
)

// serverNames is the order of the table's columns.
var serverNames = []string{"MiniStack", "LocalStack", "versitygw"}

var servers = map[string]s3Server{
	"MiniStack": {
		start:    server.MiniStack,
		unkept:   join(ignoredOnCopy, lostRaces("the condition is ignored", copyRaces...)),
		emulated: s3store.Conditions{Copy: true},
		deviations: join(
			lostRaces("two looks are not one condition", copyRaces...),
			noRights,
			because("it copies an archived object", "copy refuses an archived source"),
			because("tags of an upload are lost", "an upload brings tags, or none"),
			because("a copy takes what its source has", "copy does not take the source's storage class",
				"copy leaves retention and legal hold behind", "copy leaves the website redirect behind"),
			because("the lock of an upload is lost", "an upload brings retention and legal hold"),
			because("it takes no KMS without a key's name", kms...),
			oneOwner,
			because("it answers the whole of a version where a range of it is asked for",
				"a part goes through where the server does not read the source"),
		),
	},
	"LocalStack": {
		start: server.LocalStack,
		unkept: join(
			because("it answers 501 to a DeleteObject with If-Match",
				"delete if-match removes the object with that tag",
				"delete if-match refuses a changed object",
				"delete if-match refuses an absent object",
				"delete on a versioned bucket puts one marker",
				"delete puts no second marker",
				"of two deletes if-match one wins",
				"of a copy and a delete if-match one wins",
			),
			because("it answers 412 after replacing the bytes",
				"copy if-none-match refuses an existing object (unversioned)",
				"copy if-match refuses a changed object (unversioned)"),
			lostRaces("the one refused replaces the bytes",
				"of two copies if-none-match one wins (unversioned)",
				"of two copies if-match one wins (unversioned)"),
		),
		emulated: s3store.Conditions{Copy: true, Delete: true},
		deviations: join(
			lostRaces("two looks are not one condition", copyRaces...),
			lostRaces("a look and a delete are not one condition", "of two deletes if-match one wins"),
			noRights,
			because("it keeps a replication configuration, and does not replicate", leftReplicas),
			because("a copy loses Expires", "copy brings the content headers"),
			oneOwner,
			because("paging loses whatever follows a non-ASCII start", "a listing pages through any key in the order of bytes"),
		),
	},
	"versitygw": {
		start:   server.Versitygw,
		secrets: true,
		unkept: join(
			ignoredOnCopy,
			lostRaces("the condition is ignored", copyRaces...),
			lostRaces("deletes are not checked under a lock", "of two deletes if-match one wins"),
			because("it answers 204", "delete if-match refuses an absent object"),
			because("it puts another marker", "delete puts no second marker"),
		),
		emulated: s3store.Conditions{Copy: true, Delete: true},
		deviations: join(
			lostRaces("two looks are not one condition", copyRaces...),
			lostRaces("a look and a delete are not one condition", "of two deletes if-match one wins"),
			because("it does not replicate", leftReplicas),
			because("HEAD does not tell of the marker", "a look tells absent from hidden from present", "a description tells absent from hidden"),
			because("storage classes and encryption are dropped",
				"a look sees an archived object", "copy sets the storage class", "copy sets the encryption", "copy refuses an archived source",
				"copy does not take the source's storage class", "an upload sets the storage class",
				"an upload does not take the source's storage class", "an upload sets the encryption"),
			because("storage classes and encryption are dropped", kms...),
			oneOwner,
			because("the answer does not say", "copy answers which version it copied"),
			because("it brings the version below the marker back", "copy refuses a hidden source"),
			because("the file system knows no empty names", "a key with a double slash travels"),
			because("it ignores encoding-type, and XML cannot hold the key",
				"a key with a control character travels", "a listing pages through control characters"),
			because("a file cannot be a directory too",
				"a listing pages through plain keys in the order of bytes", "a listing knows prefixes as plain strings"),
		),
	},
}

const leftReplicas = "a look knows the replicas of the server's own replication"

var (
	ignoredOnCopy = because("the condition is ignored",
		"copy if-none-match refuses an existing object",
		"copy if-none-match refuses an existing object (unversioned)",
		"copy if-match refuses a changed object",
		"copy if-match refuses a changed object (unversioned)",
		"copy if-match refuses an absent and a hidden object",
	)
	copyKMS = []string{"copy encrypts with KMS under a bucket key", "copy encrypts with KMS and no bucket key"}
	kms     = append(copyKMS, "an upload encrypts with KMS under a bucket key", "an upload encrypts with KMS and no bucket key")

	oneOwnerOfCopies = because("all buckets have one owner, who has control of everything", "copy gives the bucket's owner control")
	oneOwner         = join(oneOwnerOfCopies,
		because("all buckets have one owner, who has control of everything", "an upload gives the bucket's owner control"))
	noRights  = because("it takes any credentials", "a refused right is an error and not absence")
	copyRaces = []string{
		"of two copies if-none-match one wins",
		"of two copies if-none-match one wins (unversioned)",
		"of two copies if-match one wins",
		"of two copies if-match one wins (unversioned)",
		"of a copy and a delete if-match one wins",
	}
)

func because(why string, promises ...string) map[string]storetest.Deviation {
	m := map[string]storetest.Deviation{}
	for _, p := range promises {
		m[p] = storetest.Deviation{Why: why}
	}
	return m
}

func lostRaces(why string, promises ...string) map[string]storetest.Deviation {
	m := map[string]storetest.Deviation{}
	for _, p := range promises {
		m[p] = storetest.Deviation{Why: why, Sometimes: true}
	}
	return m
}

func join(all ...map[string]storetest.Deviation) map[string]storetest.Deviation {
	m := map[string]storetest.Deviation{}
	for _, one := range all {
		maps.Copy(m, one)
	}
	return m
}
