package adminapi

import (
	"context"
	"net/http"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

type backendsBody struct {
	Backends []endpointBody `json:"backends"`
}

// endpointBody is a backend and what it was seen to keep. Nothing of it is secret.
type endpointBody struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"` // empty: AWS
	Region   string `json:"region"`   // empty: the stack's own
	// Account is the other AWS account that it is in; empty where nobody said.
	Account string `json:"account"`
	// SignedBy is who signs the requests: role (the functions' own),
	// assumed_role or secret.
	SignedBy string `json:"signed_by"`
	// Capabilities are all there are. AWS keeps each; of a server of one's own
	// they are learnt from what it answers.
	Capabilities []capabilityBody `json:"capabilities"`
}

type capabilityBody struct {
	Name   object.Capability `json:"name"`
	Status string            `json:"status"`  // kept, missing or unknown
	SeenAt *time.Time        `json:"seen_at"` // null: nobody had to look
}

// backends lists AWS and the configured backends, in the order of the
// configuration.
func (h *Handler) backends(ctx context.Context, _ *request) (answer, error) {
	catalog, err := h.Catalogs.Catalog(ctx)
	if err != nil {
		return answer{}, err
	}
	seen, err := h.Capabilities.Capabilities(ctx)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: backendsBody{backendsOf(catalog.Storage, seen)}}, nil
}

func backendsOf(storage rule.Storage, seen map[object.Endpoint]object.Capabilities) []endpointBody {
	all := []endpointBody{backendOf(rule.Backend{Name: object.AWS}, seen)}
	for _, b := range storage.Backends {
		all = append(all, backendOf(b, seen))
	}
	return all
}

func backendOf(b rule.Backend, seen map[object.Endpoint]object.Capabilities) endpointBody {
	body := endpointBody{Name: b.Name, Endpoint: b.Endpoint, Region: b.Region, Account: b.Owner(), SignedBy: "role"}
	switch {
	case b.CredentialsSecret != "":
		body.SignedBy = "secret"
	case b.RoleARN != "":
		body.SignedBy = "assumed_role"
	}
	known, elsewhere := seen[object.Endpoint{Backend: b.Name, URL: b.Endpoint}], b.Endpoint != ""
	for at, others := range seen {
		if b.Endpoint == "" && at.Backend == b.Name && at.URL != "" { // a local cloud in AWS's place
			known, elsewhere = others, true
		}
	}
	for _, name := range object.CapabilityList {
		c := capabilityBody{Name: name, Status: "unknown"}
		if s, ok := known[name]; ok {
			c.Status, c.SeenAt = map[bool]string{true: "kept", false: "missing"}[s.Kept], &s.At
		} else if !elsewhere {
			c.Status = "kept"
		}
		body.Capabilities = append(body.Capabilities, c)
	}
	return body
}
