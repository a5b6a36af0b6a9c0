package main

import (
	"errors"
	"fmt"
)

// Kinds of failures: what a person has to mend.
const (
	KindPath       = "path"       // a path of the request is not there
	KindSymlink    = "symlink"    // a symbolic link leaves the tree
	KindOutside    = "outside"    // a path leaves the tree
	KindRemote     = "remote"     // something remote is referred to
	KindDisabled   = "disabled"   // a feature that is off: plugins, functions, helmCharts
	KindLimit      = "limit"      // input or output is too large
	KindYAML       = "yaml"       // a file is not YAML
	KindKustomize  = "kustomize"  // any other error of kustomize
	KindChart      = "chart"      // a chart cannot be loaded
	KindDependency = "dependency" // a dependency is not vendored
	KindValues     = "values"     // values are not YAML, or no mapping
	KindSchema     = "schema"     // values do not meet values.schema.json
	KindTemplate   = "template"   // a template cannot be parsed or executed
	KindVersion    = "version"    // a chart wants another Kubernetes or Helm
	KindSettings   = "settings"   // a setting of the request is not valid
	KindPatch      = "patch"      // a patch of post cannot be read or applied, or matches nothing
	KindPost       = "post"       // post cannot be applied to a document
	KindInternal   = "internal"   // a library panicked
)

// Failure is an error of the render with its place. File is a path in the tree;
// Line and Column start at 1 and are 0 where they are not known.
type Failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	// Template is the template that was rendered, by Helm's name; the error may
	// lie in another file that it includes.
	Template string `json:"template,omitempty"`
	Chart    string `json:"chart,omitempty"`
	// ValuesKey is the dotted path of the value that the error is about.
	ValuesKey string `json:"values_key,omitempty"`
}

func (f *Failure) Error() string {
	if f.File == "" {
		return f.Message
	}
	return f.File + ": " + f.Message
}

// failuref returns a failure about a file.
func failuref(kind, file, format string, args ...any) *Failure {
	return &Failure{Kind: kind, File: file, Message: fmt.Sprintf(format, args...)}
}

// asFailure returns the failure inside err, or makes one.
func asFailure(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return &Failure{Kind: KindInternal, Message: err.Error()}
}
