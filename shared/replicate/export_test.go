package replicate

import "bucket-replicator/shared/rule"

// Preset spares a model that makes a Replicator per delivery the compiling.
func (r *Replicator) Preset(rules *rule.Set, revision int64) { r.rules, r.revision = rules, revision }
