// Package configs holds the files that come with the program: the sample configuration, the tenant of the first start
// and its routing application, and the texts of the prompts.
package configs

import "embed"

// Files are the files of the first start: demo.yaml, a text/template, and what it refers to.
//
//go:embed demo.yaml scxml
var Files embed.FS

// Demo is the name of the template in Files.
const Demo = "demo.yaml"

// Prompts is the list of what the platform says in English (package prompt).
//
//go:embed prompts/en.txt
var Prompts string
