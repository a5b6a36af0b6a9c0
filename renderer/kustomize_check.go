package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// reached is a directory or file that kustomizations lead to. Plugin says that
// it is one of generators, transformers or validators.
type reached struct {
	path   string
	plugin bool
}

// checkKustomizations reads every kustomization that a build of the directory
// would read, and refuses what the renderer does not do, with the file and the
// entry: remote bases and files, paths out of the repository, charts, plugins
// and functions.
func checkKustomizations(record *Record, directory string) (*kustomizationCheck, error) {
	check := &kustomizationCheck{record: record, seen: map[reached]bool{}}
	check.next = append(check.next, reached{path: directory})
	for len(check.next) > 0 {
		at := check.next[len(check.next)-1]
		check.next = check.next[:len(check.next)-1]
		if check.seen[at] {
			continue
		}
		check.seen[at] = true
		if err := check.visit(at); err != nil {
			return nil, err
		}
	}
	return check, nil
}

type kustomizationCheck struct {
	record   *Record
	next     []reached
	seen     map[reached]bool
	warnings []string // about deprecated fields
	// What resources may come from: the files of resources, and generators.
	resources []string
	generated []declared
}

func (c *kustomizationCheck) visit(at reached) error {
	if !at.plugin && c.record.isFile(at.path) {
		c.resources = append(c.resources, at.path)
		return nil
	}
	if c.record.isFile(at.path) {
		data, err := c.record.file(at.path)
		if err != nil {
			return err
		}
		return c.pluginConfig(at.path, data)
	}
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(at.path, name)
		data, err := c.record.file(file)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.kustomization(file, data, at.plugin); err != nil {
			return err
		}
	}
	return nil
}

// kustomization checks one file and adds what it leads to.
func (c *kustomizationCheck) kustomization(file string, data []byte, plugin bool) error {
	if err := checkAliases(file, data); err != nil {
		return err
	}
	var parsed types.Kustomization
	if err := parsed.Unmarshal(data); err != nil {
		return kustomizationFailure(file, data, err)
	}
	if messages := parsed.CheckDeprecatedFields(); messages != nil {
		for _, message := range *messages {
			c.warnings = append(c.warnings, file+": "+strings.TrimPrefix(message, "# Warning: "))
		}
	}
	if len(parsed.HelmCharts) > 0 || len(parsed.HelmChartInflationGenerator) > 0 {
		return failuref(KindDisabled, file, "helmCharts is off: render the chart in a sync of its own")
	}
	c.generated = append(c.generated, generatedBy(file, data, &parsed)...)
	for _, entry := range entriesOf(&parsed) {
		if entry.value == "" || entry.inline && looksInline(entry.value) {
			if entry.plugin {
				if err := c.pluginConfig(file, []byte(entry.value)); err != nil {
					return err
				}
			} else if err := checkAliases(file, []byte(entry.value)); err != nil {
				return err
			}
			continue
		}
		target, err := c.local(file, entry)
		if err != nil {
			return err
		}
		if entry.follow {
			c.next = append(c.next, reached{path: target, plugin: plugin || entry.plugin})
		}
	}
	return nil
}

// local returns the path in the tree of an entry, unless it is remote or leaves
// the tree.
func (c *kustomizationCheck) local(file string, entry kustomizationEntry) (string, error) {
	if isRemote(entry.value) {
		return "", failuref(KindRemote, file, "%s: %s is remote; remote bases and files are off: keep a copy in the repository", entry.field, withoutPassword(entry.value))
	}
	if path.IsAbs(entry.value) {
		return "", failuref(KindOutside, file, "%s: %s is absolute, and leaves the repository", entry.field, entry.value)
	}
	target := path.Join(path.Dir(file), entry.value)
	if target == ".." || strings.HasPrefix(target, "../") {
		return "", failuref(KindOutside, file, "%s: %s leaves the repository", entry.field, entry.value)
	}
	return target, nil
}

// builtinVersion is the apiVersion of kustomize's own generators and transformers.
const builtinVersion = konfig.BuiltinPluginApiVersion

// pluginPaths are the fields of kustomize's own plugins that name files.
var pluginPaths = []string{"path", "paths", "files", "envs", "env", "valuesFile", "additionalValuesFiles"}

// pluginConfig checks the configuration of generators, transformers and
// validators: only kustomize's own, and no remote file in them.
func (c *kustomizationCheck) pluginConfig(file string, data []byte) error {
	if err := checkAliases(file, data); err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return nil //nolint:nilerr // kustomize reports it
		}
		if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
			continue
		}
		if err := c.pluginDocument(file, document.Content[0]); err != nil {
			return err
		}
	}
}

func (c *kustomizationCheck) pluginDocument(file string, root *yaml.Node) error {
	version, kind := field(root, "apiVersion"), field(root, "kind")
	if version != builtinVersion {
		return &Failure{Kind: KindDisabled, File: file, Line: root.Line,
			Message: fmt.Sprintf("%s of %s is a plugin or function, and these are off: only those of kustomize itself (apiVersion: builtin) run", kind, version)}
	}
	if kind == "HelmChartInflationGenerator" {
		return &Failure{Kind: KindDisabled, File: file, Line: root.Line, Message: "HelmChartInflationGenerator is off: render the chart in a sync of its own"}
	}
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for i, child := range node.Content {
			stack = append(stack, child)
			if node.Kind != yaml.MappingNode || i%2 == 0 || !slices.Contains(pluginPaths, node.Content[i-1].Value) {
				continue
			}
			for _, scalar := range append([]*yaml.Node{child}, child.Content...) {
				if scalar.Kind == yaml.ScalarNode && isRemote(afterKey(scalar.Value)) {
					return &Failure{Kind: KindRemote, File: file, Line: scalar.Line,
						Message: fmt.Sprintf("%s: %s is remote; remote files are off: keep a copy in the repository", node.Content[i-1].Value, withoutPassword(scalar.Value))}
				}
			}
		}
	}
	return nil
}

// field returns the scalar of a key of a mapping.
func field(mapping *yaml.Node, key string) string {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1].Value
		}
	}
	return ""
}

// unknownField is how Go's JSON decoder names a key that it does not know.
var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// kustomizationFailure places an error of parsing a kustomization.
func kustomizationFailure(file string, data []byte, err error) *Failure {
	failure := failuref(KindKustomize, file, "%s", err)
	if line := yamlErrorLine(err.Error()); line > 0 {
		failure.Kind, failure.Line = KindYAML, line
	}
	var mistyped *json.UnmarshalTypeError
	key := ""
	if found := unknownField.FindStringSubmatch(err.Error()); found != nil {
		key = found[1]
	} else if errors.As(err, &mistyped) {
		key = mistyped.Field[strings.LastIndexByte(mistyped.Field, '.')+1:]
	}
	if key != "" {
		failure.Line = lineOfKey(string(data), key)
	}
	return failure
}

// lineOfKey returns the first line that starts with a key, or 0.
func lineOfKey(text, key string) int {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimLeft(line, " -"), key+":") {
			return number
		}
	}
	return 0
}
