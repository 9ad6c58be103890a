package ingest

import (
	"encoding/binary"
	"net"
	"syscall"
)

// dropCounter reads how many datagrams the kernel has dropped because a socket
// was full: with SO_RXQ_OVFL it tells the total with every datagram.
type dropCounter struct {
	last uint32
}

// watch makes the kernel tell. Where it cannot nothing is counted.
func (d *dropCounter) watch(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RXQ_OVFL, 1)
	})
}

// lost returns how many datagrams were dropped since the last call, as far as
// the control messages of a datagram tell it.
func (d *dropCounter) lost(oob []byte) int64 {
	if len(oob) == 0 {
		return 0
	}
	list, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for i := range list {
		h := &list[i].Header
		if h.Level != syscall.SOL_SOCKET || h.Type != syscall.SO_RXQ_OVFL || len(list[i].Data) < 4 {
			continue
		}
		total := binary.NativeEndian.Uint32(list[i].Data)
		n := total - d.last // it wraps around
		d.last = total
		return int64(n)
	}
	return 0
}
