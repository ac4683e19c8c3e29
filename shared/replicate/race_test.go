//go:build race

package replicate_test

// The search runs one goroutine at a time, a million times over, which the race
// detector makes ten times slower and never finds fault with. Under it a short
// search shows as much; `make test` runs the whole one without it.
const statesPerScenario = 300
