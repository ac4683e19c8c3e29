//go:build !linux

package server

import "syscall"

// dieWithParent can do nothing here: only Linux tells a child of its parent's
// end.
func dieWithParent(*syscall.SysProcAttr) {}
