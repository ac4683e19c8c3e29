package command

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// What a process has of memory.
const (
	Resident = "VmRSS" // now
	Peak     = "VmHWM" // at most, since it began
)

// Memory of a process that lives, in bytes. Linux tells it.
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func Memory(pid int, what string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), what+":")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return kilobytes << 10, nil
}

// MaxRSS is the most memory that a process was charged with, in bytes. Linux
// counts what its parent had when it began the process, too.
func MaxRSS(u *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return u.Maxrss
	}
	return u.Maxrss << 10 // in kilobytes
}
