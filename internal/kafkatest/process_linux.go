package kafkatest

import "syscall"

// dieWithParent lets the kernel kill brokers that a killed test leaves behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
