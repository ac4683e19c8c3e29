package s3store

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var (
	today    = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	tomorrow = today.Add(24 * time.Hour)
)

// whatASourceHas is a source with every property there is.
func whatASourceHas() source {
	return source{
		HeadObjectOutput: &s3.HeadObjectOutput{
			CacheControl: aws.String("max-age=60"), ContentDisposition: aws.String("inline"), ContentEncoding: aws.String("gzip"),
			ContentLanguage: aws.String("fi"), ContentType: aws.String("text/x-verse"), ExpiresString: aws.String("0"),
			Metadata:          map[string]string{"author": "nobody"},
			ChecksumCRC64NVME: aws.String("AAA="), ChecksumType: types.ChecksumTypeFullObject,
			WebsiteRedirectLocation: aws.String("/there"),
			ObjectLockMode:          types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &tomorrow,
			ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn,
			// What a replica never takes from its source.
			StorageClass: types.StorageClassStandardIa, ServerSideEncryption: types.ServerSideEncryptionAwsKms,
			SSEKMSKeyId: aws.String("theirs"), BucketKeyEnabled: aws.Bool(true),
		},
		tags: map[string]string{"b": "x y+z", "a": "ü"},
	}
}

var everything = object.Copy{
	Tags: true, StorageClass: "GLACIER_IR", SSE: "aws:kms", KMSKey: "alias/ours", BucketKey: true,
	ObjectLock: true, WebsiteRedirect: true, OwnerOverride: true,
}

func TestAnUploadAndAPutAreGivenTheWholeObject(t *testing.T) {
	var upload s3.CreateMultipartUploadInput
	whatASourceHas().toUpload(&upload, everything, today)
	if want := (s3.CreateMultipartUploadInput{
		CacheControl: aws.String("max-age=60"), ContentDisposition: aws.String("inline"), ContentEncoding: aws.String("gzip"),
		ContentLanguage: aws.String("fi"), ContentType: aws.String("text/x-verse"),
		Metadata: map[string]string{"author": "nobody"}, Tagging: aws.String("a=%C3%BC&b=x%20y%2Bz"),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
		StorageClass: types.StorageClassGlacierIr, ACL: types.ObjectCannedACLBucketOwnerFullControl,
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("alias/ours"), BucketKeyEnabled: aws.Bool(true),
		WebsiteRedirectLocation: aws.String("/there"),
		ObjectLockMode:          types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &tomorrow,
		ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn,
	}); !reflect.DeepEqual(upload, want) {
		t.Errorf("the upload is\n%+v\nwant\n%+v", upload, want)
	}
	// What the two requests share has the same names in both.
	var put s3.PutObjectInput
	whatASourceHas().toPut(&put, everything, today)
	fromUpload, fromPut := reflect.ValueOf(upload), reflect.ValueOf(put)
	for i := range fromUpload.NumField() {
		field := fromUpload.Type().Field(i)
		other := fromPut.FieldByName(field.Name)
		if !field.IsExported() || !other.IsValid() {
			continue
		}
		if !reflect.DeepEqual(fromUpload.Field(i).Interface(), other.Interface()) {
			t.Errorf("%s differs: %v in an upload, %v in a put", field.Name, fromUpload.Field(i), other)
		}
	}
}

func TestACopyIsGivenWhatItDoesNotBring(t *testing.T) {
	var in s3.CopyObjectInput
	whatASourceHas().toCopy(&in, everything, today)
	if want := (s3.CopyObjectInput{
		StorageClass: types.StorageClassGlacierIr, ACL: types.ObjectCannedACLBucketOwnerFullControl,
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("alias/ours"), BucketKeyEnabled: aws.Bool(true),
		WebsiteRedirectLocation: aws.String("/there"),
		ObjectLockMode:          types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &tomorrow,
		ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn,
	}); !reflect.DeepEqual(in, want) {
		t.Errorf("the copy is\n%+v\nwant\n%+v", in, want)
	}
}

func TestAReplicaGetsOnlyWhatItsRuleWants(t *testing.T) {
	var in s3.CreateMultipartUploadInput
	s := whatASourceHas()
	s.tags = nil // nobody asked
	s.toUpload(&in, object.Copy{}, today)
	if in.Tagging != nil || in.WebsiteRedirectLocation != nil || in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" ||
		in.StorageClass != "" || in.ACL != "" || in.ServerSideEncryption != "" || in.SSEKMSKeyId != nil || in.BucketKeyEnabled != nil {
		t.Errorf("the upload is %+v", in)
	}
	if in.Metadata == nil || in.ContentType == nil || in.ChecksumAlgorithm == "" {
		t.Errorf("the upload is %+v", in)
	}
}

func TestWhatARetentionBecomes(t *testing.T) {
	for name, c := range map[string]struct {
		until time.Time
		hold  types.ObjectLockLegalHoldStatus
		want  given
	}{
		"it lasts":                 {tomorrow, "", given{mode: types.ObjectLockModeCompliance, until: &tomorrow}},
		"it ends now":              {today, "", given{}},
		"it is over, and the hold": {today, types.ObjectLockLegalHoldStatusOff, given{}},
		"only the hold lasts":      {today, types.ObjectLockLegalHoldStatusOn, given{hold: types.ObjectLockLegalHoldStatusOn}},
	} {
		t.Run(name, func(t *testing.T) {
			s := source{HeadObjectOutput: &s3.HeadObjectOutput{
				ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &c.until, ObjectLockLegalHoldStatus: c.hold,
			}}
			if got := s.given(object.Copy{ObjectLock: true}, today); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWhatPartsKeepOfAChecksum(t *testing.T) {
	value := aws.String("AAA=")
	for name, c := range map[string]struct {
		found     s3.HeadObjectOutput
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
	}{
		"none":                          {},
		"a CRC of all bytes":            {s3.HeadObjectOutput{ChecksumCRC32C: value, ChecksumType: "FULL_OBJECT"}, "CRC32C", "FULL_OBJECT"},
		"a CRC of parts":                {s3.HeadObjectOutput{ChecksumCRC32: value, ChecksumType: "COMPOSITE"}, "CRC32", "COMPOSITE"},
		"a CRC of which nobody says it": {s3.HeadObjectOutput{ChecksumCRC32: value}, "CRC32", "COMPOSITE"},
		"CRC64NVME is always of all":    {s3.HeadObjectOutput{ChecksumCRC64NVME: value}, "CRC64NVME", "FULL_OBJECT"},
		"a hash of all bytes":           {s3.HeadObjectOutput{ChecksumSHA256: value, ChecksumType: "FULL_OBJECT"}, "SHA256", "COMPOSITE"},
	} {
		t.Run(name, func(t *testing.T) {
			if algorithm, kind := (source{HeadObjectOutput: &c.found}).partsChecksum(); algorithm != c.algorithm || kind != c.kind {
				t.Errorf("got %s %s, want %s %s", algorithm, kind, c.algorithm, c.kind)
			}
		})
	}
}

func TestHowARequestCameIsNoEncodingOfTheContent(t *testing.T) {
	for found, want := range map[string]string{"gzip": "gzip", "aws-chunked": "", "gzip, aws-chunked": "gzip", "aws-chunked,gzip,br": "gzip,br"} {
		s := source{HeadObjectOutput: &s3.HeadObjectOutput{ContentEncoding: &found}}
		if got := aws.ToString(s.encoding()); got != want {
			t.Errorf("%q becomes %q, want %q", found, got, want)
		}
	}
}

func TestExpiresNeedNotBeADate(t *testing.T) {
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Expires"))
		_, _ = w.Write([]byte("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"))
	}))
	defer server.Close()
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, Credentials: aws.AnonymousCredentials{}})
	b, k := aws.String("b"), aws.String("k")
	if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: b, Key: k}, whatASourceHas().expires); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: k}, whatASourceHas().expires); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sent, []string{"0", "0"}) {
		t.Errorf("sent Expires %q", sent)
	}
}

func TestWhatAServerDropsIsNamed(t *testing.T) {
	s := whatASourceHas()
	asked := s.asked(everything, today)
	whole := func() *s3.HeadObjectOutput {
		head := *whatASourceHas().HeadObjectOutput
		head.StorageClass, head.SSEKMSKeyId = types.StorageClassGlacierIr, aws.String("alias/ours")
		return &head
	}
	if got := dropped(asked, whole()); got != nil {
		t.Errorf("of a whole replica %q are missed", got)
	}
	for name, drop := range map[string]func(*s3.HeadObjectOutput){
		"storage_class":    func(h *s3.HeadObjectOutput) { h.StorageClass = "" },
		"sse":              func(h *s3.HeadObjectOutput) { h.ServerSideEncryption = types.ServerSideEncryptionAes256 },
		"object_lock":      func(h *s3.HeadObjectOutput) { h.ObjectLockLegalHoldStatus = "" },
		"website_redirect": func(h *s3.HeadObjectOutput) { h.WebsiteRedirectLocation = nil },
		"content_headers":  func(h *s3.HeadObjectOutput) { h.ExpiresString, h.CacheControl = nil, nil },
		"metadata":         func(h *s3.HeadObjectOutput) { h.Metadata = map[string]string{"author": "somebody"} },
	} {
		t.Run(name, func(t *testing.T) {
			head := whole()
			drop(head)
			if got := dropped(asked, head); !reflect.DeepEqual(got, []string{name}) {
				t.Errorf("missed are %q", got)
			}
		})
	}
	if got := (source{}).asked(object.Copy{StorageClass: "STANDARD"}, today); got != nil {
		t.Errorf("a copy by the server, without wishes, asks for %q", got)
	}
}
