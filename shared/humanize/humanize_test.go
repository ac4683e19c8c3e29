package humanize

import (
	"math"
	"testing"
	"time"
)

func TestQuantitiesAreShort(t *testing.T) {
	for got, want := range map[string]string{
		Bytes(0): "0 B", Bytes(999): "999 B", Bytes(15000): "15.0 kB", Bytes(5e15): "5.0 PB", Bytes(math.MaxInt64): "9.2 EB",
		Duration(-time.Second): "0.0 s", Duration(2 * time.Second): "2.0 s", Duration(time.Minute): "60 s", Duration(10 * time.Minute): "10 min",
		Percent(0, 5): "0%", Percent(math.MaxInt64-1, math.MaxInt64): "99%", Percent(199, 200): "99%", Percent(0, 0): "100%",
		Duration(3 * time.Hour): "3 h", Duration(72 * time.Hour): "3 days",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
