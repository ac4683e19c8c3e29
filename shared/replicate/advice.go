package replicate

import (
	"slices"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
)

const (
	// retryTransient and retryPermanent are when a failure is tried again that
	// may pass by itself, and one that somebody has to see to first.
	retryTransient = 15 * time.Minute
	retryPermanent = time.Hour
)

// FailureOf is what is recorded of an outcome that Failed at a time. Who met it
// in a run adds which.
func FailureOf(o Outcome, now time.Time) object.Failure {
	code := object.CodeOf(o.Err)
	f := object.Failure{
		Rule: o.Rule, Source: o.Source, Dest: o.Dest, OccurredAt: now,
		Code: code, Message: o.Err.Error(), Advice: advice(code), Damaged: o.Damaged,
	}
	switch {
	case object.ClassOf(o.Err) != object.Permanent:
		f.RetryAt = now.Add(retryTransient)
	case !slices.Contains(beyondRetry, code):
		f.RetryAt = now.Add(retryPermanent)
	}
	return f
}

// healthy reports whether what had failed has come to an end that is none. A
// paused rule did not even look.
func (o Outcome) healthy() bool {
	switch o.Result {
	case Copied, Retagged, Deleted, Parked:
		return true
	case Skipped:
		return o.Reason != decide.Paused && o.Reason != decide.Closed && o.Reason != decide.Transferring
	default:
		return false
	}
}

// advice says in one sentence what to do about a failure with this code.
func advice(code string) string {
	if a, ok := advices[code]; ok {
		return a
	}
	return "Look the code up in the S3 documentation; it is tried again by itself."
}

// beyondRetry are the codes of permanent failures that no retry mends: it takes
// another object or other rules, which come with an event or a run of their own.
var beyondRetry = []string{
	"KeyTooLongError", "TooLargeForOneCopy", "InvalidRequest",
	"UnknownBackend",
}

// advices by the codes of S3, KMS and our own.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var advices = map[string]string{
	"AccessDenied":                         "Let the function's role read the source object and write the destination: check both bucket policies, the KMS key policies, and Object Lock on the destination.",
	"AllAccessDisabled":                    "AWS disabled all access to this object or account: contact AWS Support.",
	"NoSuchBucket":                         "Create the bucket, or correct its name in the configuration and deploy.",
	"KMS.DisabledException":                "Enable the KMS key that encrypts the source or the destination.",
	"KMS.NotFoundException":                "Name an existing KMS key in the rule's sse.kms_key, and let the function's role use it.",
	"KMS.AccessDenied":                     "Let the function's role use the KMS keys of both buckets: kms:Decrypt for the source, kms:GenerateDataKey for the destination.",
	"InvalidObjectState":                   "Restore the object from its archive; it is copied when the restore completes.",
	"KeyTooLongError":                      "Shorten the rule's destination prefix or the object's key: a key has at most 1,024 bytes.",
	"TooLargeForOneCopy":                   "The object is larger than 5 GiB, which one copy cannot move: copy it by parts by hand until large objects are supported.",
	"ChecksumMismatch":                     "What was read of the source is not what its checksum or its ETag says: if it goes on, the object is damaged there, or its backend makes ETags that only look like an MD5; it is tried again by itself.",
	"SourceTruncated":                      "The source's backend broke off in the middle of the object; it is tried again by itself.",
	"BadDigest":                            "The bytes changed on their way to the destination, which refused them; it is tried again by itself.",
	"UnknownBackend":                       "Name a backend of storage.backends in the bucket's configuration and deploy.",
	"CredentialsUnavailable":               "Let the function's role read the backend's credentials_secret, which is JSON with access_key_id and secret_access_key, or assume its role_arn; deploy where the ARN is another one.",
	"CredentialsRenewed":                   "The credentials were replaced while the object was copied; it is tried again by itself.",
	"InvalidRequest":                       "The object cannot be copied as it is: objects encrypted with a customer's key (SSE-C) are not replicated.",
	"MethodNotAllowed":                     "The destination refuses this write: check its Object Lock and its policy.",
	"ObjectLockConfigurationNotFoundError": "Switch Object Lock on for the destination bucket.",
	"Contended":                            "The object kept changing while it was copied; it is tried again by itself.",
	"PartMismatch":                         "The destination answered that it keeps other bytes than it was sent: look at its log and at what lies between. The object is not visible there; it is tried again by itself.",
	"TransferStuck":                        "No part of the object could be copied in several tries: the message names what they met. It is tried again by itself.",
	"NoSuchUpload":                         "The upload was aborted before all parts were there: check the destination's lifecycle rules for incomplete uploads, and who else aborts them. It is begun anew by itself.",
	"InvalidPart":                          "The destination does not take the parts that it was given before: look whether somebody else writes to its uploads. They are copied anew by themselves.",
	"EntityTooLarge":                       "No bucket takes an object of more than 50 TB.",
	"SlowDown":                             "The bucket takes no more requests for now; it is tried again by itself.",
	"Internal":                             "Read the error and the function's log; it is tried again by itself.",
}
