//go:build linux && amd64

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalActions are the kernel's actions of all signals. Loading the library
// and starting the engine replace those of the Go runtime by handlers that do
// not run on Go's signal stack; the first preemption would end the process.
type signalActions [65]kernelAction

// kernelAction is struct sigaction as the kernel has it on amd64.
type kernelAction struct{ handler, flags, restorer, mask uintptr }

func saveSignals() *signalActions {
	var s signalActions
	for n := 1; n < len(s); n++ {
		sigaction(n, nil, &s[n])
	}
	return &s
}

func (s *signalActions) restore() {
	for n := 1; n < len(s); n++ {
		sigaction(n, &s[n], nil)
	}
}

// sigaction fails for SIGKILL and SIGSTOP only, which nobody can change.
func sigaction(n int, set, get *kernelAction) {
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 8, 0, 0)
}
