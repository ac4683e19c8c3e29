package s3store

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List lists up to limit objects (1 to 1,000) whose keys begin with prefix and
// come after after, in the order of the keys' bytes, and whether there are
// more. Keys hidden by a delete marker are not listed. A page is empty only at
// the end. It fails where the server breaks that order or does not move on:
// whoever merges two listings would take the gap for deletes.
func (s *Store) List(ctx context.Context, b object.Bucket, prefix, after string, limit int) (page []object.Listed, more bool, err error) {
	at := object.Ref{Bucket: b, Key: prefix}
	if limit < 1 || limit > 1000 {
		return nil, false, classify("list", at, refusal("InvalidArgument", fmt.Sprintf("a limit of %d is not within 1 to 1000", limit)))
	}
	e, err := s.at(b)
	if err == nil {
		page, more, err = e.list(ctx, b.Name, prefix, after, limit)
	}
	if err != nil {
		return nil, false, classify("list", at, err)
	}
	return page, more, nil
}

func (e endpoint) list(ctx context.Context, bucket, prefix, after string, limit int) ([]object.Listed, bool, error) {
	in := &s3.ListObjectsV2Input{
		Bucket:       aws.String(bucket),
		MaxKeys:      aws.Int32(int32(limit)),
		EncodingType: types.EncodingTypeUrl, // XML cannot hold control characters
		// Tells an archived object that was restored from one that was not.
		OptionalObjectAttributes: []types.OptionalObjectAttributes{types.OptionalObjectAttributesRestoreStatus},
	}
	if prefix != "" {
		in.Prefix = aws.String(prefix)
	}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	for {
		found, err := e.requestListing(ctx, in)
		if err != nil {
			return nil, false, err
		}
		if err := found.check(after); err != nil || len(found.objects) > 0 || !found.truncated {
			return found.objects, found.truncated, err
		}
		// Nothing but deleted keys so far.
		if found.token == "" || found.token == aws.ToString(in.ContinuationToken) {
			return nil, false, refusal("ListingStandsStill", "the server says there is more, and does not say where")
		}
		in.ContinuationToken = &found.token
	}
}

// check decodes the keys, and makes sure that they are in order.
func (l *listing) check(after string) error {
	for i := range l.objects {
		key := &l.objects[i].Key
		switch {
		case l.encoded && (strings.IndexByte(*key, '%') >= 0 || strings.IndexByte(*key, '+') >= 0):
			decoded, err := url.QueryUnescape(*key)
			if err != nil {
				return refusal("ListingEncoding", fmt.Sprintf("key %q: %v", *key, err))
			}
			*key = decoded
		case !l.encoded && strings.ContainsRune(*key, utf8.RuneError):
			return refusal("ListingEncoding", fmt.Sprintf("key %q: the server does not encode keys, and XML cannot hold this one", *key))
		}
		if *key <= after && after != "" {
			return refusal("ListingOutOfOrder", fmt.Sprintf("key %q comes after %q", *key, after))
		}
		after = *key
	}
	return nil
}
