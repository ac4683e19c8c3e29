package storetest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
)

// A way is how a replica is made: by one request of the server's, or by parts.
type way struct {
	name    string
	content func() Content // that it takes
	replica func(*trial, object.Copy) object.Copied
}

func ways() []way {
	return []way{
		{"copy", func() Content { return Text("x") }, (*trial).copy},
		{"an upload", func() Content { return large("x") }, func(t *trial, c object.Copy) object.Copied {
			u := t.begin(c)
			t.copyParts(u)
			return t.complete(u)
		}},
	}
}

// property is something an object has beside its bytes.
type property struct {
	does string // what a way does with it
	// locked: it takes buckets with Object Lock.
	locked bool
	// has is what the source gets, and wants what the rule says about it.
	has   func(*Content)
	wants func(*object.Copy)
	// kept checks the replica against its source. What could not be carried is
	// named.
	kept func(t *trial, replica, source Found, lost []string)
}

// propertyPromises say that a replica has what its source has and its rule
// wants, and nothing else, by whichever way it is made.
func propertyPromises() []promise {
	headers := map[string]string{
		"Cache-Control": "max-age=60, private", "Content-Disposition": `attachment; filename="a b.txt"`,
		"Content-Encoding": "br", "Content-Language": "fi, sv", "Expires": "Fri, 01 Jan 2100 00:00:00 GMT",
	}
	lock := object.Lock{Mode: "GOVERNANCE", Until: time.Now().UTC().Add(48 * time.Hour).Truncate(time.Second), LegalHold: true}
	var all []promise
	for _, w := range ways() {
		for _, p := range []property{
			{does: "brings the content headers",
				has: func(c *Content) { c.Headers = headers },
				kept: func(t *trial, replica, source Found, _ []string) {
					t.want(maps.Equal(source.Headers, headers), "the source has %q", source.Headers)
					t.want(maps.Equal(replica.Headers, headers), "the headers are %q, want %q", replica.Headers, headers)
				}},
			{does: "keeps the algorithm of the checksum, or says that it does not",
				has: func(c *Content) { c.Summed = true },
				kept: func(t *trial, replica, source Found, lost []string) {
					t.want(strings.HasPrefix(source.Sum, "SHA256:"), "the source has the checksum %q", source.Sum)
					t.want(strings.HasPrefix(replica.Sum, "SHA256:") || slices.Contains(lost, "checksum"),
						"the checksum is %q, and lost are %q", replica.Sum, lost)
				}},
			{does: "sets the storage class",
				wants: func(c *object.Copy) { c.StorageClass = "STANDARD_IA" },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.StorageClass == "STANDARD_IA", "the storage class is %q", replica.StorageClass)
				}},
			{does: "does not take the source's storage class",
				has: func(c *Content) { c.StorageClass = "STANDARD_IA" },
				kept: func(t *trial, replica, source Found, _ []string) {
					t.want(source.StorageClass == "STANDARD_IA", "the source's storage class is %q", source.StorageClass)
					t.want(replica.StorageClass == "" || replica.StorageClass == "STANDARD", "the storage class is %q", replica.StorageClass)
				}},
			{does: "sets the encryption",
				wants: func(c *object.Copy) { c.SSE = "AES256" },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.SSE == "AES256", "the encryption is %q", replica.SSE)
				}},
			{does: "encrypts with KMS under a bucket key",
				wants: func(c *object.Copy) { c.SSE, c.BucketKey = "aws:kms", true },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.SSE == "aws:kms" && replica.BucketKey, "the encryption is %q, bucket key %t", replica.SSE, replica.BucketKey)
				}},
			{does: "encrypts with KMS and no bucket key",
				wants: func(c *object.Copy) { c.SSE = "aws:kms" },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.SSE == "aws:kms" && !replica.BucketKey, "the encryption is %q, bucket key %t", replica.SSE, replica.BucketKey)
				}},
			{does: "brings retention and legal hold", locked: true,
				has:   func(c *Content) { c.Lock = lock },
				wants: func(c *object.Copy) { c.ObjectLock = true },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.Lock == lock, "the lock is %+v, want %+v", replica.Lock, lock)
				}},
			{does: "leaves retention and legal hold behind", locked: true,
				has: func(c *Content) { c.Lock = lock },
				kept: func(t *trial, replica, source Found, _ []string) {
					t.want(source.Lock == lock, "the source's lock is %+v, want %+v", source.Lock, lock)
					t.want(replica.Lock == object.Lock{}, "the lock is %+v, want none", replica.Lock)
				}},
			{does: "brings the website redirect",
				has:   func(c *Content) { c.Redirect = "/there?a=b" },
				wants: func(c *object.Copy) { c.WebsiteRedirect = true },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.Redirect == "/there?a=b", "the redirect is %q", replica.Redirect)
				}},
			{does: "leaves the website redirect behind",
				has: func(c *Content) { c.Redirect = "/there" },
				kept: func(t *trial, replica, source Found, _ []string) {
					t.want(source.Redirect == "/there", "the source's redirect is %q", source.Redirect)
					t.want(replica.Redirect == "", "the redirect is %q, want none", replica.Redirect)
				}},
			{does: "gives the bucket's owner control",
				wants: func(c *object.Copy) { c.OwnerOverride = true },
				kept: func(t *trial, replica, _ Found, _ []string) {
					t.want(replica.OwnerControl, "the bucket's owner has no control of its own")
				}},
		} {
			all = append(all, promise{name: w.name + " " + p.does, try: func(t *trial) error { return t.carries(w, p) }})
		}
		all = append(all, promise{name: w.name + " names what the replica did not get", try: func(t *trial) error {
			content := w.content()
			content.Headers, content.Metadata, content.Redirect, content.Lock = headers, map[string]string{"author": "nobody"}, "/there", lock
			locked := Traits{Versioned: true, ObjectLock: true}
			c := object.Copy{
				From: object.Ref{Bucket: t.bucketOf(locked), Key: "from"}, To: object.Ref{Bucket: t.bucketOf(locked), Key: "to"},
				StorageClass: "STANDARD_IA", SSE: "AES256", ObjectLock: true, WebsiteRedirect: true,
			}
			c.SourceETag = t.put(c.From, content).ETag
			lost := w.replica(t, c).Lost
			got := t.isCopy(c)
			for name, kept := range map[string]bool{
				"storage_class": got.StorageClass == c.StorageClass, "sse": got.SSE == c.SSE, "object_lock": got.Lock == lock,
				"website_redirect": got.Redirect == content.Redirect, "content_headers": maps.Equal(got.Headers, headers),
				"metadata": maps.Equal(got.Metadata, content.Metadata),
			} {
				t.want(kept != slices.Contains(lost, name), "%s: kept %t, and named are %q", name, kept, lost)
			}
			return t.err
		}})
	}
	return all
}

// carries makes a replica and checks it.
func (t *trial) carries(w way, p property) error {
	bucket := func() object.Bucket { return t.bucketOf(Traits{Versioned: p.locked, ObjectLock: p.locked}) }
	content := w.content()
	if p.has != nil {
		p.has(&content)
	}
	c := object.Copy{From: object.Ref{Bucket: bucket(), Key: "from"}, To: object.Ref{Bucket: bucket(), Key: "to"}}
	c.SourceETag = t.put(c.From, content).ETag
	if p.wants != nil {
		p.wants(&c)
	}
	copied := w.replica(t, c)
	source, _ := t.get(c.From)
	p.kept(t, t.isCopy(c), source, copied.Lost)
	return t.err
}
