package foreign

import "fmt"

// backblazeConfiguration is the replicationConfiguration of a bucket of
// Backblaze's, of which every bucket has two sides.
// https://www.backblaze.com/docs/cloud-storage-cloud-replication
type backblazeConfiguration struct {
	Source struct {
		Rules []backblazeRule `json:"replicationRules"`
		Key   string          `json:"sourceApplicationKeyId"`
	} `json:"asReplicationSource"`
	Destination struct {
		Keys map[string]string `json:"sourceToDestinationKeyMapping"`
	} `json:"asReplicationDestination"`
}

type backblazeRule struct {
	Bucket          string `json:"destinationBucketId"`
	Prefix          string `json:"fileNamePrefix"`
	IncludeExisting bool   `json:"includeExistingFiles"`
	Enabled         *bool  `json:"isEnabled"`
	Priority        int    `json:"priority"`
	Name            string `json:"replicationRuleName"`
}

// backblaze reads a replicationConfiguration: as it is sent, or as it is
// answered, with who may read it around it.
func (im *importer) backblaze(d Document) {
	var c backblazeConfiguration
	root, _, ok := im.read(d.Text, "", &c, func(n *node) (string, *node) {
		path, n := im.unwrap("", n, "replicationConfiguration")
		return im.unwrap(path, n, "value", "isClientAuthorizedToRead")
	})
	if !ok {
		return
	}
	if len(c.Destination.Keys) > 0 {
		im.lose(im.place(join(root, "asReplicationDestination.sourceToDestinationKeyMapping")), "that the bucket is a destination, and the keys for it, is not carried over",
			"import the configuration of the source bucket; give the backend of this one a credentials_secret")
	}
	rules := join(root, "asReplicationSource.replicationRules")
	if len(c.Source.Rules) == 0 && len(c.Destination.Keys) > 0 {
		im.refuse(im.place(rules), "holds no rules: the bucket is a destination only; import the configuration of its source")
		return
	}
	if !im.room(im.place(rules), len(c.Source.Rules)) {
		return
	}
	if c.Source.Key != "" {
		im.lose(im.place(join(root, "asReplicationSource.sourceApplicationKeyId")), "the application key "+quote(c.Source.Key)+" is not used",
			"put an application key for the S3 API into the credentials_secret of the backend")
	}
	source := mention{at: im.source(), name: d.Bucket, keys: []string{d.Bucket}, identity: d.Bucket}
	if name := im.Names[d.Bucket]; name != "" {
		source.identity = name
	}
	first := map[string]string{}
	for i, in := range c.Source.Rules {
		path := fmt.Sprintf("%s[%d]", rules, i)
		if where, taken := first[in.Name]; taken && in.Name != "" {
			im.refuse(im.place(path+".replicationRuleName"), "%s is the name of %s, too", quote(in.Name), where)
		} else {
			first[in.Name] = path
		}
		im.backblazeRule(path, in, source)
	}
	im.everywhere()
}

func (im *importer) backblazeRule(path string, in backblazeRule, source mention) {
	at := func(field string) place { return im.place(path + "." + field) }
	if in.Enabled == nil {
		im.missing(at("isEnabled"), "true or false")
		in.Enabled = new(bool)
	}
	name := im.Names[in.Bucket]
	switch {
	case in.Bucket == "":
		im.missing(at("destinationBucketId"), "the bucket that replicas go to")
		return
	case name == "":
		im.refuse(at("destinationBucketId"), "which bucket %s is the text does not say: import it with names that say %s=name", quote(in.Bucket), clipped(in.Bucket))
		return
	}
	r := newRule()
	im.sides(&r, source, mention{at: at("destinationBucketId"), name: name, keys: []string{in.Bucket}, identity: name}, in.Prefix)
	r.Name = im.name(at("replicationRuleName"), in.Name, r.Source.Bucket+"-to-"+r.Destination.Bucket)
	r.Enabled = *in.Enabled
	r.Priority = in.Priority
	if r.ExistingObjects = in.IncludeExisting; !r.ExistingObjects {
		im.existing(at("includeExistingFiles"))
	}
	im.add(r, im.place(path), map[string]place{
		"name": at("replicationRuleName"), "priority": at("priority"),
		"source.prefix": at("fileNamePrefix"), "destination.prefix": at("fileNamePrefix"),
		"source.bucket": source.at, "destination": at("destinationBucketId"),
	})
}
