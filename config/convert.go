package config

import "github.com/goccy/go-yaml"

// JSON turns what people write into what APIs take.
func JSON(text []byte) ([]byte, error) { return yaml.YAMLToJSON(text) }

// YAML turns what APIs answer into what people edit.
func YAML(text []byte) ([]byte, error) { return yaml.JSONToYAML(text) }
