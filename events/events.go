// Package events holds the events that the functions accept: a JSON Schema of
// every form, and samples of what really arrives. README.md says what is what.
package events

import "embed"

// FS has the schemas as <form>.schema.json; samples/<form>/ has events that fit
// the schema of that name, samples/dropped/ what is counted and forgotten, and
// samples/undecodable/ what ends in the dead-letter queue.
//
//go:embed *.schema.json samples
var FS embed.FS
