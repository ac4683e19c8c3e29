package cloud

import (
	"fmt"
	"time"
)

// step tells what is being done, does it, and tells how long it took.
func (c *Cloud) step(what string, do func() error) error {
	fmt.Fprintf(c.out, "%s ... ", what)
	started := time.Now()
	if err := do(); err != nil {
		fmt.Fprintln(c.out, "FAILED")
		return err
	}
	fmt.Fprintf(c.out, "%.1f s\n", time.Since(started).Seconds())
	return nil
}
