// Package s3store is the object stores as S3 speaks to them: one client per
// backend, conditions on every write, errors classified once.
package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Conditions are conditions on the destination that an endpoint ignores or
// refuses. The store looks, acts, and looks again instead. That is weaker: what
// somebody else writes between the look and the act is lost, and of two racing
// copies both may take effect (the second look makes at least one of them answer
// Premise).
type Conditions struct {
	Copy   bool // If-Match and If-None-Match of CopyObject
	Put    bool // those of PutObject
	Delete bool // If-Match of DeleteObject
}

// Options of a Store.
type Options struct {
	// Backends is asked on every call for the configured backends, so that a
	// deployed change is seen. The backend object.AWS need not be among
	// them: it is the account's own S3, in the region of the aws.Config.
	Backends func() []rule.Backend
	// Emulated says, by the backend's name, which conditions its endpoint does
	// not keep, where somebody knows. AWS keeps all of them; of any other
	// endpoint the store learns it.
	Emulated map[string]Conditions
	// Memory remembers what is learnt; nil: nobody but this store does.
	Memory Memory
	// Credentials answers how a backend's requests are signed, nil where with
	// the credentials of the aws.Config. They are cached, and read again when a
	// server refuses them. Nil: all are signed with those of the aws.Config.
	Credentials func(rule.Backend) aws.CredentialsProvider
	// RequesterPays says of a bucket that whoever asks for its objects pays, and
	// that we agree to. Nil: of none.
	RequesterPays func(object.Bucket) bool
	// Hold is for how long a body waits for the refusal of a write that is made
	// to learn what a server keeps; 0: for a second.
	Hold time.Duration
	// Now is the clock that tells whether a retention is over; nil: time.Now.
	Now func() time.Time
}

// Store reads and writes objects on all backends. It is what the use cases call
// Objects, and it lists. Safe for concurrent use.
type Store struct {
	cfg     aws.Config
	options Options

	mu      sync.Mutex
	clients map[rule.Backend]*s3.Client
	paying  map[*s3.Client]*s3.Client // each of clients' twin that agrees to pay

	capabilities *capabilities
}

// New makes a Store. No request is made before the first call. The HTTP client
// of cfg is used, with a larger pool of connections where it is the SDK's own.
func New(cfg aws.Config, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Hold = cmp.Or(o.Hold, time.Second)
	cfg = cfg.Copy()
	pool, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if cfg.HTTPClient == nil {
		pool, ok = awshttp.NewBuildableClient(), true
	}
	if ok {
		// All requests go to one or two hosts, a reconcile's some hundred at
		// a time; the SDK keeps 10 idle connections to a host. A Lambda may
		// have 1,024 files open.
		cfg.HTTPClient = pool.WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = widest, widest
		})
	}
	return &Store{
		cfg: cfg, options: o, clients: map[rule.Backend]*s3.Client{}, paying: map[*s3.Client]*s3.Client{},
		capabilities: &capabilities{
			memory: o.Memory, now: o.Now,
			known: map[object.Endpoint]object.Capabilities{}, learning: map[learning]bool{},
		},
	}
}

// endpoint is where the requests for a bucket go.
type endpoint struct {
	*s3.Client
	backend      rule.Backend
	told         *Conditions // what Options.Emulated says, if anything
	capabilities *capabilities
	pays         bool
	now          func() time.Time
}

// at finds the endpoint of a bucket. Its errors are permanent until somebody
// deploys.
func (s *Store) at(b object.Bucket) (endpoint, error) {
	backend := rule.Backend{Name: object.AWS}
	known := b.Backend == object.AWS
	if s.options.Backends != nil {
		for _, candidate := range s.options.Backends() {
			if candidate.Name == b.Backend {
				backend, known = candidate, true
			}
		}
	}
	if !known {
		return endpoint{}, refusal("UnknownBackend", fmt.Sprintf("backend %q is not configured", b.Backend))
	}
	e := endpoint{Client: s.client(backend), backend: backend, capabilities: s.capabilities, now: s.options.Now}
	if told, ok := s.options.Emulated[backend.Name]; ok {
		e.told = &told
	}
	if s.options.RequesterPays != nil && s.options.RequesterPays(b) {
		e = s.agreed(e)
	}
	return e, nil
}

// sides are the two endpoints of a copy.
func (s *Store) sides(c object.Copy) (from, to endpoint, err error) {
	if from, err = s.at(c.From.Bucket); err != nil {
		return from, to, err
	}
	if to, err = s.at(c.To.Bucket); err == nil && from.pays && !to.pays && to.copies(from) {
		to = s.agreed(to) // the source's bucket takes its due from a copy elsewhere too
	}
	return from, to, err
}

// copies reports whether the destination's server can read the source itself.
func (e endpoint) copies(from endpoint) bool {
	return from.backend.Shares(e.backend)
}

// agreed is the endpoint with every request agreeing to be charged for. Without
// that a bucket whose requesters pay answers 403.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
func (s *Store) agreed(e endpoint) endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	twin := s.paying[e.Client]
	if twin == nil {
		twin = s3.New(e.Options(), func(o *s3.Options) {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("x-amz-request-payer", "requester"))
		})
		s.paying[e.Client] = twin
	}
	e.Client, e.pays = twin, true
	return e
}

func (s *Store) client(b rule.Backend) *s3.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[b]; c != nil {
		return c
	}
	c := s3.NewFromConfig(s.cfg, func(o *s3.Options) {
		if b.Region != "" {
			o.Region = b.Region
		}
		o.UsePathStyle = b.PathStyle
		if b.Endpoint != "" {
			o.BaseEndpoint = aws.String(b.Endpoint)
		}
		if o.BaseEndpoint != nil {
			// Not every other server knows the SDK's default checksums.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
		if s.options.Credentials != nil {
			if p := s.options.Credentials(b); p != nil {
				r := &renewal{cache: aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = time.Minute })}
				o.Credentials = r.cache
				o.APIOptions = append(o.APIOptions, r.around)
			}
		}
		o.Retryer = retryer(retry.DefaultRetryables...)
		o.HTTPClient = paced{o.HTTPClient, newPace()}
	})
	s.clients[b] = c
	return c
}

// retryer makes at most three attempts within seconds. More patience is the
// queue's.
func retryer(on ...retry.IsErrorRetryable) aws.Retryer {
	return retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff, r.Retryables = 3, 2*time.Second, on
	})
}

// once makes the SDK repeat a write only where S3 refused it, for its rate or
// for credentials that were replaced since. A
// write whose answer was lost may have taken effect, and its repetition would
// meet that effect and answer 412, as if somebody else had written: Premise
// would no longer say that nothing of ours happened.
func once(o *s3.Options) {
	o.Retryer = retryer(retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		return aws.BoolTernary(errors.As(err, new(*renewed)))
	}))
}

// bucketExists tells a missing object from a missing bucket, which a HEAD on
// the object cannot: both are a 404 without a body.
func (e endpoint) bucketExists(ctx context.Context, bucket string) error {
	_, err := e.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)})
	if status(err) == http.StatusNotFound {
		return refusal("NoSuchBucket", "there is no such bucket")
	}
	return err
}

// refusal is a permanent error of our own.
func refusal(code, text string) error {
	return &object.Error{Class: object.Permanent, Code: code, Err: errors.New(text)}
}
