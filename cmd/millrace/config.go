package main

import (
	"fmt"

	"github.com/millrace/millrace/config"
)

// configCmd checks configurations and prints the reference.
type configCmd struct {
	Check     configCheckCmd     `cmd:"" help:"Report every violation in a file, and what its rules probably should not do."`
	Reference configReferenceCmd `cmd:"" help:"Print every setting with documentation, default and example."`
}

type configCheckCmd struct {
	File string `arg:"" help:"Configuration file." type:"existingfile"`
}

// Run implements the command.
func (c *configCheckCmd) Run(e *env) error {
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if err := printWarnings(e.stdout, cfg.Warnings(e.now)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s is valid\n", c.File)
	return err
}

type configReferenceCmd struct{}

// Run implements the command.
func (c *configReferenceCmd) Run(e *env) error { return config.WriteReference(e.stdout) }
