package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

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
	// references are the files that declare which fields hold names.
	references nameReferences
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
	if err := chartsOff(file, data, &parsed); err != nil {
		return err
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
		switch {
		case strings.HasPrefix(entry.field, "configurations["):
			c.references.configurations = appendNew(c.references.configurations, target)
		case strings.HasPrefix(entry.field, "crds["):
			c.references.crds = appendNew(c.references.crds, target)
		case entry.follow:
			c.next = append(c.next, reached{path: target, plugin: plugin || entry.plugin})
		}
	}
	return nil
}

const chartAdvice = "kustomize would fetch the chart and run helm; render the chart with a sync of its own (render.helm) and take it out here"

// chartsOff refuses the charts that a kustomization would have inflated.
func chartsOff(file string, data []byte, parsed *types.Kustomization) error {
	entry, name := "", ""
	switch {
	case len(parsed.HelmCharts) > 0:
		entry, name = "helmCharts", parsed.HelmCharts[0].Name
	case len(parsed.HelmChartInflationGenerator) > 0:
		entry, name = "helmChartInflationGenerator", parsed.HelmChartInflationGenerator[0].ChartName
	default:
		return nil
	}
	return &Failure{Kind: KindDisabled, File: file, Line: lineOfKey(string(data), entry),
		Message: fmt.Sprintf("%s[0] (%s) is off: %s", entry, name, chartAdvice)}
}

// local returns the path in the tree of an entry, unless it is remote or leaves
// the tree.
func (c *kustomizationCheck) local(file string, entry kustomizationEntry) (string, error) {
	if isRemote(entry.value) {
		return "", failuref(KindRemote, file, "%s: %s is remote; remote bases and files are off: vendor it, which is to keep a copy in the repository, and name the copy here", entry.field, withoutPassword(entry.value))
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
