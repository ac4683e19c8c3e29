package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

var (
	_ replicate.Ledger   = (*ledger.Ledger)(nil)
	_ replicate.Catalogs = (*ledger.Ledger)(nil)
	_ run.Store          = (*ledger.Ledger)(nil)
)

var at = object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "b"}, Key: "k"}

// table answers one request after the other as DynamoDB would, and keeps what
// it was asked.
type table struct {
	answers []answer
	asked   []request
}

type answer struct {
	status int
	body   string
	err    error
}

type request struct {
	Op           string
	RequestItems map[string]struct {
		Keys           []map[string]map[string]string
		ConsistentRead bool
	}
}

func (f *table) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	asked := request{Op: op}
	if op == "BatchGetItem" {
		if err := json.Unmarshal(body, &asked); err != nil {
			return nil, err
		}
	}
	f.asked = append(f.asked, asked)
	if len(f.answers) == 0 {
		return nil, errors.New("one request too many")
	}
	a := f.answers[0]
	f.answers = f.answers[1:]
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
	}, nil
}

func open(t *testing.T, answers ...answer) (*ledger.Ledger, *table) {
	f := &table{answers: answers}
	t.Cleanup(func() {
		if len(f.answers) > 0 {
			t.Errorf("%d requests too few", len(f.answers))
		}
	})
	return ledger.New(aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: f},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}, ledger.Tables{Rules: "rules", Provenance: "provenance", Runs: "runs"}), f
}

func refused(status int, code string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code)}
}

func cancelled(codes ...string) answer {
	var reasons []string
	for _, code := range codes {
		reasons = append(reasons, fmt.Sprintf(`{"Code":%q}`, code))
	}
	a := refused(400, "TransactionCanceledException")
	a.body = strings.TrimSuffix(a.body, "}") + `,"CancellationReasons":[` + strings.Join(reasons, ",") + `]}`
	return a
}

func TestWhatDynamoDBAnswersIsClassifiedOnce(t *testing.T) {
	for _, c := range []struct {
		answer answer
		class  object.Class
		code   string
	}{
		{refused(400, "ConditionalCheckFailedException"), object.Premise, "ConditionalCheckFailedException"},
		{refused(400, "ProvisionedThroughputExceededException"), object.Retryable, "ProvisionedThroughputExceededException"},
		{refused(400, "ThrottlingException"), object.Retryable, "ThrottlingException"},
		{refused(400, "RequestLimitExceeded"), object.Retryable, "RequestLimitExceeded"},
		{refused(400, "ExpiredTokenException"), object.Retryable, "ExpiredTokenException"},
		{refused(500, "InternalServerError"), object.Retryable, "InternalServerError"},
		{refused(503, "ServiceUnavailable"), object.Retryable, "ServiceUnavailable"},
		{refused(400, "AccessDeniedException"), object.Permanent, "AccessDeniedException"},
		{refused(400, "ResourceNotFoundException"), object.Permanent, "ResourceNotFoundException"},
		{refused(400, "ValidationException"), object.Permanent, "ValidationException"},
		{refused(400, "UnrecognizedClientException"), object.Permanent, "UnrecognizedClientException"},
		{refused(400, "SomethingNewException"), object.Retryable, "SomethingNewException"},
		{answer{err: errors.New("connection reset")}, object.Retryable, "Internal"},
		{answer{err: context.DeadlineExceeded}, object.Retryable, "RequestCanceled"},
	} {
		l, _ := open(t, c.answer)
		err := l.Forget(t.Context(), at, 1)
		var e *object.Error
		if !errors.As(err, &e) || e.Class != c.class || e.Code != c.code || e.Ref != at || e.Op != "forget" {
			t.Errorf("%+v: %+v", c.answer, err)
		}
	}
}

func TestACancelledTransactionIsClassifiedByItsReasons(t *testing.T) {
	for _, c := range []struct {
		reasons []string
		class   object.Class
		code    string
	}{
		{[]string{"None", "ThrottlingError"}, object.Retryable, "TransactionCanceledException"},
		{[]string{"None", "ValidationError"}, object.Permanent, "ValidationError"},
		{[]string{"ConditionalCheckFailed", "None"}, object.Permanent, "RuleNotFound"}, // of a pause
	} {
		l, _ := open(t, cancelled(c.reasons...))
		err := l.SetPaused(t.Context(), "mirror", true)
		if object.ClassOf(err) != c.class || object.CodeOf(err) != c.code {
			t.Errorf("%v: %v", c.reasons, err)
		}
	}
}

func TestATransactionWaitsForAnother(t *testing.T) {
	l, f := open(t, cancelled("None", "TransactionConflict"), cancelled("None", "TransactionConflict"), answer{status: 200, body: "{}"})
	if err := l.SetPaused(t.Context(), "mirror", true); err != nil || len(f.asked) != 3 {
		t.Errorf("%d requests, %v", len(f.asked), err)
	}
}

func TestAConditionThatFailedOverWhatWasWantedIsSuccess(t *testing.T) {
	found := func(revision, rule string) answer {
		a := refused(400, "ConditionalCheckFailedException")
		a.body = strings.TrimSuffix(a.body, "}") + `,"Item":{"at":{"S":"aws/b/k"},"r":{"N":"` + revision + `"},"w":{"S":"` + rule + `"}}}`
		return a
	}
	for name, c := range map[string]struct {
		revision int64
		answer   answer
		want     int64 // 0: Premise
	}{
		"a new item":                            {0, answer{status: 200, body: "{}"}, 42},
		"a new item, by an attempt before":      {0, found("42", "mirror"), 42},
		"a new item, by a call before":          {0, found("99", "mirror"), 99},
		"a new item, where another is":          {0, found("42", "other"), 0},
		"an item that is gone again":            {7, refused(400, "ConditionalCheckFailedException"), 0},
		"a successor":                           {7, answer{status: 200, body: "{}"}, 8},
		"a successor, by an attempt before":     {7, found("8", "mirror"), 8},
		"a successor, where another is":         {7, found("8", "other"), 0},
		"a successor, the same after another":   {7, found("9", "mirror"), 0},
		"a successor, the same in an item anew": {7, found("1234567", "mirror"), 0},
		"a successor, the same an item before":  {7, found("6", "mirror"), 0},
	} {
		l, _ := open(t, c.answer)
		l.StartAt(42)
		got, err := l.Put(t.Context(), at, object.Provenance{Revision: c.revision, Rule: "mirror"})
		if got != c.want || (err != nil) != (c.want == 0) || err != nil && object.ClassOf(err) != object.Premise {
			t.Errorf("%s: revision %d, %v; want %d", name, got, err, c.want)
		}
	}
}

func revisionAnswer(revision string) string {
	return `"rules":[{"revision":{"N":"` + revision + `"}}]`
}

func itemAnswer(address, revision string) string {
	return `"provenance":[{"at":{"S":"` + address + `"},"r":{"N":"` + revision + `"},"w":{"S":"mirror"}}]`
}

func TestWhatABatchLeftOutIsAskedForAgain(t *testing.T) {
	left := `"UnprocessedKeys":{"provenance":{"ConsistentRead":false,"Keys":[{"at":{"S":"aws/b/2"}}]}}`
	l, f := open(t,
		answer{status: 200, body: `{"Responses":{` + revisionAnswer("7") + `,` + itemAnswer("aws/b/1", "1") + `},` + left + `}`},
		answer{status: 200, body: `{"Responses":{},` + left + `}`},
		answer{status: 200, body: `{"Responses":{` + itemAnswer("aws/b/2", "2") + `}}`},
	)
	one, two := object.Ref{Bucket: at.Bucket, Key: "1"}, object.Ref{Bucket: at.Bucket, Key: "2"}
	found, revision, err := l.Read(t.Context(), []object.Ref{one, two, one}, false)
	if err != nil || revision != 7 || found[one].Revision != 1 || found[two].Revision != 2 {
		t.Errorf("found %+v at revision %d, %v", found, revision, err)
	}
	first := f.asked[0].RequestItems
	if !first["rules"].ConsistentRead || first["provenance"].ConsistentRead || len(first["provenance"].Keys) != 2 {
		t.Errorf("first request: %+v", first)
	}
	for _, again := range f.asked[1:] {
		if len(again.RequestItems) != 1 || len(again.RequestItems["provenance"].Keys) != 1 {
			t.Errorf("asked again for %+v", again.RequestItems)
		}
	}
}

func TestABatchThatIsNeverFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := answer{status: 200, body: `{"UnprocessedKeys":{"rules":{"Keys":[{"name":{"S":"#catalog"}}]}}}`}
		l, _ := open(t, left, left, left, left, left, left, left, left)
		found, _, err := l.Read(t.Context(), []object.Ref{at}, false)
		if found != nil || object.ClassOf(err) != object.Retryable || object.CodeOf(err) != "ProvisionedThroughputExceededException" {
			t.Errorf("found %v, %v", found, err)
		}
	})
}

func TestABatchGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		left := answer{status: 200, body: `{"UnprocessedKeys":{"rules":{"Keys":[{"name":{"S":"#catalog"}}]}}}`}
		l, _ := open(t, left, left) // the second wait would be longer than what is left
		if _, _, err := l.Read(ctx, []object.Ref{at}, false); object.CodeOf(err) != "RequestCanceled" {
			t.Errorf("got %v", err)
		}
	})
}

func TestABatchIsAsSmallAsItsAddresses(t *testing.T) {
	for _, c := range []struct{ addresses, requests int }{{0, 1}, {1, 1}, {99, 1}, {100, 2}, {199, 2}, {200, 3}} {
		var answers []answer
		for range c.requests {
			answers = append(answers, answer{status: 200, body: `{"Responses":{}}`})
		}
		l, f := open(t, answers...)
		var refs []object.Ref
		for i := range c.addresses {
			refs = append(refs, object.Ref{Bucket: at.Bucket, Key: fmt.Sprint(i)})
		}
		if _, _, err := l.Read(t.Context(), refs, true); err != nil {
			t.Errorf("%d addresses: %v", c.addresses, err)
		}
		keys := 0
		for i, r := range f.asked {
			n := len(r.RequestItems["provenance"].Keys)
			keys += n
			if n += len(r.RequestItems["rules"].Keys); n > 100 || n == 0 {
				t.Errorf("%d addresses: request %d asks for %d items", c.addresses, i, n)
			}
			if n > 0 && len(r.RequestItems["provenance"].Keys) > 0 && !r.RequestItems["provenance"].ConsistentRead {
				t.Errorf("%d addresses: request %d is not consistent", c.addresses, i)
			}
		}
		if keys != c.addresses {
			t.Errorf("%d addresses: asked for %d", c.addresses, keys)
		}
	}
}

func TestACatalogThatChangedWhileItWasReadIsReadAgain(t *testing.T) {
	revision := func(n string) answer {
		return answer{status: 200, body: `{"Item":{"name":{"S":"#catalog"},"revision":{"N":"` + n + `"}}}`}
	}
	page := func(name, more string) answer {
		return answer{status: 200, body: `{"Items":[{"name":{"S":"` + name + `"},"document":{"S":"{\"name\":\"` + name + `\"}"},"revision":{"N":"1"},"owner":{"S":"deploy"}}]` + more + `}`}
	}
	more := `,"LastEvaluatedKey":{"name":{"S":"a"}}`
	l, _ := open(t, revision("1"), page("a", ""), revision("2"), page("a", more), page("b", ""), revision("2"))
	c, err := l.Catalog(t.Context())
	if err != nil || c.Revision != 2 || len(c.Rules) != 2 || c.Rules[1].Rule.Name != "b" {
		t.Errorf("catalog %+v, %v", c, err)
	}
}
