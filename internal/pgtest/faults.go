//go:build linux

package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PID is the postmaster's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server and all its processes as a power cut would, but for what
// the kernel has in its cache.
func (s *Server) Kill() {
	s.t.Helper()
	// Stopped first, it starts no further process.
	s.must(s.cmd.Process.Signal(syscall.SIGSTOP))
	children := s.children()
	for _, pid := range append(children, s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone is as good
	}
	<-s.exited
	// The memory that they share must be free, or the next start refuses.
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		alive := 0
		for _, pid := range children {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				alive++
			}
		}
		if alive == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.must(fmt.Errorf("%d processes do not end", alive))
		}
	}
}

// Restart starts the server on its data and port after a Kill.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
}

// Pause stops all processes of the server, as a machine that swaps or a
// network that swallows would: connections stay, answers do not come.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.must(s.cmd.Process.Signal(sig))
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, sig)
	}
}

// children returns the server's other processes, which are all its own children.
func (s *Server) children() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, parent := procStat(pid); parent == s.cmd.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

func zombie(pid int) bool {
	state, _ := procStat(pid)
	return state == "Z"
}

// procStat reads proc(5)'s stat: "pid (name) state ppid ...".
func procStat(pid int) (state string, parent int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

func (s *Server) close() {
	if s.cmd != nil && s.cmd.Process != nil {
		select {
		case <-s.exited:
		default:
			s.Kill()
		}
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}

// RootCert returns the file of the certificate that a server with ssl=on has
// signed itself; it is valid for 127.0.0.1 and localhost.
func (s *Server) RootCert() string { return s.path("data/server.crt") }

func (s *Server) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgtest"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	s.must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	for name, block := range map[string]*pem.Block{
		"data/server.crt": {Type: "CERTIFICATE", Bytes: cert},
		"data/server.key": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		s.must(os.WriteFile(s.path(name), pem.EncodeToMemory(block), 0o600))
		s.must(s.chown(s.path(name)))
	}
}
