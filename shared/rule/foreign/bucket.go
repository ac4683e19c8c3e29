package foreign

import (
	"fmt"
	"net/url"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// mention is where and how a text, or its caller, speaks of a bucket.
type mention struct {
	at place
	// name is the bucket's, as far as the text says; keys are what it may be
	// called in Options.Names, the name included.
	name string
	keys []string
	// aws: the bucket is on AWS. Otherwise identity tells it from others as
	// long as nobody says where it is.
	aws      bool
	identity string
	region   string // of a server that is not AWS, if it is said
}

// bucket is the alias of a bucket, which is added where it is new.
func (im *importer) bucket(m mention) string {
	name, endpoint := m.name, ""
	for _, key := range m.keys {
		if said, ok := im.Names[key]; ok {
			name, endpoint, ok = split(said)
			if !ok {
				im.refuse(m.at, "is said to be something that is neither a bucket's name nor a URL such as https://minio.example:9000/name")
			}
			break
		}
	}
	identity := m.identity
	switch {
	case endpoint != "":
		identity = endpoint + "/" + name
	case m.aws:
		identity = object.AWS + "/" + name
	}
	if alias, ok := im.aliases[identity]; ok {
		return alias
	}
	alias := unique(cleaned(name), "bucket", func(a string) bool { _, taken := im.storage.Buckets[a]; return taken })
	b := rule.Bucket{}
	if name != alias {
		b.Name = name
	}
	switch {
	case endpoint != "":
		b.Backend = im.atEndpoint(m, endpoint, hostOf(endpoint))
		im.lose(m.at, "the endpoint "+endpoint+" wants credentials, and perhaps a region, which the text does not hold",
			"give the backend "+b.Backend+" a credentials_secret and a region")
	case !m.aws:
		b.Backend = im.atEndpoint(m, "https://"+strings.ReplaceAll(alias, "_", "-")+".invalid", alias)
		im.lose(m.at, fmt.Sprintf("at which endpoint the bucket %s is the text does not say; %s stands for it", quote(name), im.backend(b.Backend).Endpoint),
			"put the endpoint, the region and a credentials_secret into the backend "+b.Backend+", or import again with names that say it: "+quote(m.keys[0])+"=https://endpoint/"+clipped(name))
	case im.Regions[name] == "":
		im.lose(m.at, "the text does not say in which region the bucket is",
			"if it is not the deployment's own, add a backend with that region, and name it in storage.buckets")
	case im.Regions[name] != im.Region:
		b.Backend = im.like(m.at, rule.Backend{Name: object.AWS + "-" + im.Regions[name], Region: im.Regions[name]})
	}
	im.storage.Buckets[alias] = b
	im.aliases[identity] = alias
	im.places["storage.buckets."+alias] = m.at
	return alias
}

// split takes a name, or a URL of endpoint and name, apart.
func split(said string) (name, endpoint string, ok bool) {
	if !strings.Contains(said, "://") {
		return said, "", said != ""
	}
	u, err := url.Parse(said)
	if err != nil {
		return "", "", false
	}
	name = strings.Trim(u.Path, "/")
	if u.Host == "" || name == "" || strings.Contains(name, "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", "", false
	}
	return name, u.Scheme + "://" + u.Host, true
}

func hostOf(endpoint string) string {
	_, host, _ := strings.Cut(endpoint, "://")
	return host
}

// atEndpoint is the name of the backend with that endpoint. Buckets are addressed
// in the path, which every server understands.
func (im *importer) atEndpoint(m mention, endpoint, name string) string {
	return im.like(m.at, rule.Backend{Name: name, Endpoint: endpoint, Region: m.region, PathStyle: true})
}

// like is the name of the backend that is like b, which is added where it is new.
func (im *importer) like(at place, b rule.Backend) string {
	for _, other := range im.storage.Backends {
		if other.Endpoint == b.Endpoint && other.Region == b.Region {
			return other.Name
		}
	}
	b.Name = unique(cleaned(b.Name), "backend", func(n string) bool { return n == object.AWS || im.backend(n).Name != "" })
	im.places[fmt.Sprintf("storage.backends[%d]", len(im.storage.Backends))] = at
	im.storage.Backends = append(im.storage.Backends, b)
	return b.Name
}

func (im *importer) backend(name string) rule.Backend {
	for _, b := range im.storage.Backends {
		if b.Name == name {
			return b
		}
	}
	return rule.Backend{}
}

// sides sets the buckets of a rule, which keep their keys, and says what it
// means if they are not on AWS.
func (im *importer) sides(r *rule.Rule, source, destination mention, prefix string) {
	r.Source = rule.Side{Bucket: im.bucket(source), Prefix: prefix}
	r.Destination = rule.Side{Bucket: im.bucket(destination), Prefix: prefix}
	from, to := im.endpointOf(r.Source.Bucket), im.endpointOf(r.Destination.Bucket)
	if from != "" {
		r.Interval = pollInterval
		im.lose(source.at, fmt.Sprintf("a source that is not on AWS sends no events: what changes there is found by reconciles, every %s", pollInterval),
			"set the interval that listing both buckets is worth")
	}
	if from != to {
		im.lose(destination.at, "between two endpoints no server copies: objects stream through the functions",
			"deploy near one of the two; the traffic is paid for")
	}
}

func (im *importer) endpointOf(alias string) string {
	return im.backend(im.storage.Buckets[alias].Backend).Endpoint
}
