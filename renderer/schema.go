package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// schemaURL is the name that Helm gives to the schema of any chart.
const schemaURL = "file:///values.schema.json"

// validateSchemas validates the values of a chart and its dependencies as Helm
// does, with the same words, but for what a schema refers to outside of itself:
// Helm would read that from the disk or the network.
func validateSchemas(root *chart.Chart, values map[string]any, files *chartFiles) error {
	type scoped struct {
		chart  *chart.Chart
		values map[string]any
	}
	var report strings.Builder
	var first *Failure
	stack := []scoped{{root, values}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.chart.Schema != nil {
			if err := validateSchema(at.chart.Schema, at.values); err != nil {
				fmt.Fprintf(&report, "%s:\n%s", at.chart.Name(), err)
				if first == nil {
					first = schemaFailure(at.chart, err, files)
				}
			}
		}
		dependencies := at.chart.Dependencies()
		for i := len(dependencies) - 1; i >= 0; i-- {
			dependency := dependencies[i]
			raw, found := at.values[dependency.Name()]
			if !found || raw == nil {
				continue
			}
			inner, isTable := raw.(map[string]any)
			if !isTable {
				fmt.Fprintf(&report, "%s:\ninvalid type for values: expected object (map), got %T\n", dependency.Name(), raw)
				if first == nil {
					first = &Failure{Kind: KindSchema, Chart: dependency.Name(), ValuesKey: dependency.Name()}
				}
				continue
			}
			stack = append(stack, scoped{dependency, inner})
		}
	}
	if first == nil {
		return nil
	}
	first.Message = "values don't meet the specifications of the schema(s) in the following chart(s):\n" + strings.TrimSuffix(report.String(), "\n")
	return first
}

// schemaError is an error of validation, or of the schema itself.
type schemaError struct{ cause error }

func (e schemaError) Error() string {
	return strings.TrimPrefix(e.cause.Error(), "jsonschema validation failed with '"+schemaURL+"#'\n") + "\n"
}

func validateSchema(text []byte, values map[string]any) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unable to validate schema: %s", cause)
		}
	}()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	dropRemote(schema)
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{
		"file": refusingLoader{}, "http": permissiveLoader{}, "https": permissiveLoader{}, "urn": permissiveLoader{},
	})
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return err
	}
	validator, err := compiler.Compile(schemaURL)
	if err != nil {
		return err
	}
	if err := validator.Validate(values); err != nil {
		return schemaError{err}
	}
	return nil
}

// refusingLoader refuses files, which Helm would read from the disk.
type refusingLoader struct{}

func (refusingLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("values.schema.json refers to %s, and files outside of it are not read", url)
}

// permissiveLoader takes everything for valid that a remote schema describes, as
// Helm itself does for an urn that it cannot resolve.
type permissiveLoader struct{}

func (permissiveLoader) Load(url string) (any, error) {
	warnRemote(url)
	return true, nil
}

func warnRemote(url string) {
	slog.Warn("values.schema.json refers to a remote schema; what it describes is not validated", "schema", url)
}

// dropRemote drops references into remote schemas, which a schema that takes
// everything for valid could not resolve.
func dropRemote(schema any) {
	var references []map[string]any
	ids := map[string]bool{}
	stack := []any{schema}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch typed := node.(type) {
		case []any:
			stack = append(stack, typed...)
		case map[string]any:
			if id, isText := typed["$id"].(string); isText {
				ids[strings.TrimSuffix(id, "#")] = true
			}
			if reference, isText := typed["$ref"].(string); isText && remoteSchema.MatchString(reference) && !metaSchema.MatchString(reference) {
				references = append(references, typed)
			}
			for _, value := range typed {
				stack = append(stack, value)
			}
		}
	}
	for _, holder := range references {
		reference, _ := holder["$ref"].(string)
		document, _, _ := strings.Cut(reference, "#")
		if !ids[document] {
			warnRemote(reference)
			delete(holder, "$ref")
		}
	}
}

// remoteSchema matches references to other hosts; the meta-schemas of
// json-schema.org are part of the library.
var (
	remoteSchema = regexp.MustCompile(`(?i)^https?://`)
	metaSchema   = regexp.MustCompile(`(?i)^https?://json-schema\.org/`)
)

// schemaFailure returns where a validation failed first.
func schemaFailure(at *chart.Chart, err error, files *chartFiles) *Failure {
	failure := &Failure{Kind: KindSchema, Chart: at.Name()}
	if origin, found := files.originOf(at.Schema); found {
		failure.File = origin.file
	}
	// The values of a dependency lie below its name, in those of its parent.
	var prefix []string
	for current := at; current.Parent() != nil; current = current.Parent() {
		prefix = append([]string{current.Name()}, prefix...)
	}
	var invalid *jsonschema.ValidationError
	var wrapped schemaError
	if errors.As(err, &wrapped) && errors.As(wrapped.cause, &invalid) {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		failure.ValuesKey = strings.Join(append(prefix, invalid.InstanceLocation...), ".")
	}
	return failure
}

// chartPath returns the path of a file of a chart as templates are named.
func chartPath(at *chart.Chart, name string) string {
	return path.Join(at.ChartFullPath(), name)
}
