//go:build tools

// Package tools pins the programs that check the code, apart from the module
// that uses none of their dependencies. Run one as
//
//	go tool -modfile=tools/go.mod golangci-lint run
package tools
