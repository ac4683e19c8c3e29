// Package humanize writes quantities as people read them, in few characters: the
// page and the commands say the same of the same.
package humanize

import (
	"fmt"
	"time"
)

// Bytes are in powers of 1000: "999 B", "15.0 kB".
func Bytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	of, i := float64(n)/1000, 0
	for ; of >= 1000; i++ {
		of /= 1000
	}
	return fmt.Sprintf("%.1f %cB", of, units[i])
}

// Duration is in one unit: "2.0 s", "10 min", "3 days". Below zero, as between
// clocks that are apart, it is zero.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}

// Percent is how much is done, rounded down, so that 100% is all: "41%".
func Percent(done, of int64) string {
	if of <= 0 || done >= of {
		return "100%"
	}
	return fmt.Sprintf("%d%%", min(int64(float64(done)/float64(of)*100), 99))
}
