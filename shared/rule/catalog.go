package rule

import "time"

// Catalog is the content of the rules table at one revision.
type Catalog struct {
	// Revision grows with every change of a rule, its pause state included,
	// so that a reader who knows it needs no second look.
	Revision int64
	// Storage is the deployed configuration; its Replication.Rules is empty.
	Storage Storage
	Rules   []Stored
}

// Stored is a rule as the rules table holds it.
type Stored struct {
	Rule     Rule
	Revision int64
	// Deployed rules come from the configuration file and change only by
	// deploying; the others were made through the API.
	Deployed  bool
	CreatedAt time.Time
	Paused    bool // survives deploys
}
