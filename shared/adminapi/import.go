package adminapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/foreign"
)

// importBody is what another product's configuration says in our words.
type importBody struct {
	// Valid: Storage may be deployed as it stands; it is null otherwise.
	Valid   bool          `json:"valid"`
	Storage *rule.Storage `json:"storage"` // backends, buckets and rules
	// Losses are what is not carried over, or is done otherwise.
	Losses   []lossBody    `json:"losses"`
	Problems []problemBody `json:"problems"` // the first 100
}

type lossBody struct {
	Where   string `json:"where"` // in the text
	What    string `json:"what"`
	Instead string `json:"instead"` // what to do
}

// importRules converts a bucket's replication configuration of another product.
// It makes no rule: what it answers is for the file, or for PUT.
func (h *Handler) importRules(_ context.Context, r *request) (answer, error) {
	format, bucket, names := r.required("format"), r.required("bucket"), r.pairs("names")
	if format != "" && !slices.Contains(foreign.Formats(), format) {
		r.problem("format", "is %q: give %s", shortened(format), strings.Join(foreign.Formats(), ", "))
	}
	if len(r.body) == 0 {
		r.problem("body", "is missing: the configuration, as that product prints it")
	}
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	imported, problems := foreign.Import(foreign.Format(format),
		[]foreign.Document{{Bucket: bucket, Text: r.body}}, foreign.Options{Names: names})
	body := importBody{Valid: rule.Problems(problems).Err() == nil, Losses: []lossBody{}, Problems: problemBodies(problems)}
	if body.Valid {
		body.Storage = &imported.Storage
	}
	for _, l := range imported.Losses {
		body.Losses = append(body.Losses, lossBody(l))
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// pairs are a parameter's: "a=b,c=d".
func (r *request) pairs(name string) map[string]string {
	v, ok := r.value(name)
	if !ok {
		return nil
	}
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(v, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || value == "" {
			r.problem(name, "has %q: give id=bucket, and commas between", shortened(pair))
		}
		pairs[key] = value
	}
	return pairs
}
