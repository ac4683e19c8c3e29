//go:build !race

package replicate_test

// statesPerScenario bounds the search. It is breadth-first, so all histories up
// to some length are covered, and the report says how long that is.
const statesPerScenario = 6_000
