package rule

import _ "embed"

// Schema is the JSON Schema of the configuration, for editors and for other
// programs. ParseConfig, and rulefile's Parse, find more.
//
//go:embed schema.json
var Schema []byte
