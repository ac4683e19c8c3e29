package s3store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Begin begins an upload with all properties that the source has and the rule
// says: a look at the source, its tags where the copy wants them, and one
// CreateMultipartUpload. After an error that is Retryable an upload may be left
// behind that nobody knows.
func (s *Store) Begin(ctx context.Context, c object.Copy) (object.Upload, error) {
	upload, err := s.begin(ctx, c)
	if err != nil {
		return object.Upload{}, classify("begin upload", c.To, err)
	}
	return upload, nil
}

func (s *Store) begin(ctx context.Context, c object.Copy) (object.Upload, error) {
	from, to, err := s.sides(c)
	if err != nil {
		return object.Upload{}, err
	}
	look, err := from.source(ctx, c, "")
	if err != nil {
		return object.Upload{}, err
	}
	if archived(look.HeadObjectOutput) {
		return object.Upload{}, &object.Error{Class: object.Premise, Code: "InvalidObjectState", Err: errors.New("the source is archived")}
	}
	in := &s3.CreateMultipartUploadInput{Bucket: aws.String(c.To.Bucket.Name), Key: aws.String(c.To.Key)}
	look.toUpload(in, c, s.options.Now())
	lost := look.lost()
	switch {
	case to.backend.Endpoint != "":
		// Some servers keep a wrong one: the source's whole for each of its
		// parts (versitygw 1.8.0). The parts' tags are compared instead.
		if in.ChecksumAlgorithm != "" {
			lost = append(lost, "checksum")
		}
		in.ChecksumAlgorithm, in.ChecksumType = "", ""
	case !to.copies(from):
		// Of all bytes, whatever the source has: S3 joins it of the parts', and
		// computes those as they arrive.
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	out, err := to.CreateMultipartUpload(ctx, in, once, look.expires)
	if err != nil {
		return object.Upload{}, err
	}
	return object.Upload{
		To: c.To, ID: aws.ToString(out.UploadId), Checksum: string(in.ChecksumAlgorithm),
		SourceVersionID: version(look.VersionId), SourceChecksum: checksum(look.HeadObjectOutput),
		Lost: lost, Asked: look.asked(c, s.options.Now()),
	}, nil
}

// Complete makes one conditional CompleteMultipartUpload, and a look at what
// came of it, since the answer has no time. An error that is Retryable leaves
// open whether it took effect. Premise where a condition does not hold, or the
// upload is over (NoSuchUpload), or a part is not the one that was given
// (InvalidPart). A replica whose bytes are not the source's does not become
// visible, as far as checksums can tell: the error is Permanent then.
func (s *Store) Complete(ctx context.Context, c object.Completion) (object.Copied, error) {
	copied, err := s.complete(ctx, c)
	if err != nil {
		return object.Copied{}, classify("complete upload", c.To, err)
	}
	return copied, nil
}

func (s *Store) complete(ctx context.Context, c object.Completion) (object.Copied, error) {
	e, err := s.at(c.To.Bucket)
	if err != nil {
		return object.Copied{}, err
	}
	algorithm, want, _ := strings.Cut(c.Upload.SourceChecksum, ":")
	if sum, known := joined(c); known && algorithm == string(types.ChecksumAlgorithmCrc64nvme) && sum != want {
		return object.Copied{}, refusal("ChecksumMismatch", "the bytes that were read have another checksum than the source says")
	}
	// A refusal could cost the upload, so this condition is not tried out: only
	// AWS is believed to keep it.
	looks := !e.isAWS() && (e.told == nil || e.told.Copy)
	if looks {
		if err := e.unchanged(ctx, c.To, c.DestETag); err != nil {
			return object.Copied{}, err
		}
	}
	out, err := e.CompleteMultipartUpload(ctx, completion(c), once)
	if err != nil {
		return object.Copied{}, err
	}
	copied := object.Copied{
		Dest:            object.Dest{ETag: bare(out.ETag), VersionID: version(out.VersionId)},
		SourceVersionID: c.Upload.SourceVersionID,
		Lost:            c.Upload.Lost,
	}
	after, replica, err := e.see(ctx, c.To)
	switch {
	case err != nil: // the replica is a fact, if one without a time
	case after.Presence == object.Present && after.ETag == copied.Dest.ETag && (copied.Dest.VersionID == "" || copied.Dest.VersionID == after.VersionID):
		copied.Dest.LastModified = after.LastModified
		copied.Lost = slices.Concat(c.Upload.Lost, dropped(c.Upload.Asked, replica))
	case looks:
		return object.Copied{}, broken("somebody else wrote the destination meanwhile")
	}
	return copied, nil
}

// joined is the CRC-64/NVME of all that went through here; false where some of
// it did not.
func joined(c object.Completion) (string, bool) {
	var whole uint64
	layout := parts.Layout{Size: c.Size, PartSize: c.PartSize}
	for n, p := range c.Parts {
		sum, err := base64.StdEncoding.DecodeString(p.CRC64)
		if err != nil || len(sum) != 8 {
			return "", false
		}
		first, last := layout.Bytes(n + 1)
		whole = parts.Joined(whole, binary.BigEndian.Uint64(sum), last-first+1)
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, whole)), true
}

// completion is the request for c.
func completion(c object.Completion) *s3.CompleteMultipartUploadInput {
	in := &s3.CompleteMultipartUploadInput{
		Bucket:        aws.String(c.To.Bucket.Name),
		Key:           aws.String(c.To.Key),
		UploadId:      aws.String(c.Upload.ID),
		MpuObjectSize: aws.Int64(c.Size),
	}
	if c.DestETag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(quoted(c.DestETag))
	}
	list := make([]types.CompletedPart, len(c.Parts))
	for n, p := range c.Parts {
		list[n] = types.CompletedPart{ETag: aws.String(quoted(p.ETag)), PartNumber: aws.Int32(int32(n + 1))}
		if p.Checksum == "" {
			continue
		}
		switch types.ChecksumAlgorithm(c.Upload.Checksum) {
		case types.ChecksumAlgorithmCrc64nvme:
			list[n].ChecksumCRC64NVME = aws.String(p.Checksum)
		case types.ChecksumAlgorithmCrc32:
			list[n].ChecksumCRC32 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmCrc32c:
			list[n].ChecksumCRC32C = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha1:
			list[n].ChecksumSHA1 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha256:
			list[n].ChecksumSHA256 = aws.String(p.Checksum)
		case types.ChecksumAlgorithmSha512:
			list[n].ChecksumSHA512 = aws.String(p.Checksum)
		}
	}
	in.MultipartUpload = &types.CompletedMultipartUpload{Parts: list}
	// The source's checksum of all bytes, where the replica gets one of the same
	// kind: the server compares them before anybody sees the replica.
	if algorithm, value, ok := strings.Cut(c.Upload.SourceChecksum, ":"); ok && algorithm == c.Upload.Checksum {
		switch types.ChecksumAlgorithm(algorithm) {
		case types.ChecksumAlgorithmCrc64nvme:
			in.ChecksumType, in.ChecksumCRC64NVME = types.ChecksumTypeFullObject, aws.String(value)
		case types.ChecksumAlgorithmCrc32:
			in.ChecksumType, in.ChecksumCRC32 = types.ChecksumTypeFullObject, aws.String(value)
		case types.ChecksumAlgorithmCrc32c:
			in.ChecksumType, in.ChecksumCRC32C = types.ChecksumTypeFullObject, aws.String(value)
		}
	}
	return in
}

// Abort ends an upload and frees its parts; one that is over is success. A part
// that is on its way may still arrive, and takes space until the upload is
// aborted again: whoever copied it does that.
func (s *Store) Abort(ctx context.Context, u object.Upload) error {
	e, err := s.at(u.To.Bucket)
	if err == nil {
		_, err = e.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: aws.String(u.To.Bucket.Name), Key: aws.String(u.To.Key), UploadId: aws.String(u.ID),
		})
		if status(err) == http.StatusNotFound {
			err = nil
		}
	}
	return classify("abort upload", u.To, err)
}

// Uploads lists the uploads to a key that were begun, by whomever, and are not
// over.
func (s *Store) Uploads(ctx context.Context, at object.Ref) ([]object.Begun, error) {
	e, err := s.at(at.Bucket)
	if err != nil {
		return nil, classify("list uploads", at, err)
	}
	var found []object.Begun
	in := &s3.ListMultipartUploadsInput{
		Bucket: aws.String(at.Bucket.Name), Prefix: aws.String(at.Key), EncodingType: types.EncodingTypeUrl,
	}
	for {
		out, err := e.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, classify("list uploads", at, err)
		}
		past := false
		for _, u := range out.Uploads {
			key := aws.ToString(u.Key)
			if out.EncodingType == types.EncodingTypeUrl {
				if decoded, err := url.QueryUnescape(key); err == nil {
					key = decoded
				}
			}
			if key != at.Key {
				past = past || key > at.Key // those of the key itself come first
				continue
			}
			b := object.Begun{ID: aws.ToString(u.UploadId), At: aws.ToTime(u.Initiated).UTC()}
			// Only of AWS it is known that this tells one from another: some servers
			// name the same one for everybody.
			if u.Initiator != nil && e.isAWS() {
				b.By = aws.ToString(u.Initiator.ID)
			}
			found = append(found, b)
		}
		again := aws.ToString(out.NextKeyMarker) == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker)
		if past || !aws.ToBool(out.IsTruncated) || again {
			return found, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}
