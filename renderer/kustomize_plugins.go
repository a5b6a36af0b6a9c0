package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
)

// builtinVersion is the apiVersion of kustomize's own generators and transformers.
const builtinVersion = konfig.BuiltinPluginApiVersion

// pluginPaths are the fields of kustomize's own plugins that name files.
var pluginPaths = []string{"path", "paths", "files", "envs", "env", "valuesFile", "additionalValuesFiles"}

// pluginConfig checks the configuration of generators, transformers and
// validators: only kustomize's own, and no remote file in them.
func (c *kustomizationCheck) pluginConfig(file treePath, data []byte, root treePath) error {
	if err := checkAliases(file.show(), data); err != nil {
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
		if err := c.pluginDocument(file, document.Content[0], root); err != nil {
			return err
		}
	}
}

// pluginDocument checks one plugin. Its paths are relative to a directory.
func (c *kustomizationCheck) pluginDocument(file treePath, root *yaml.Node, directory treePath) error {
	version, kind := field(root, "apiVersion"), field(root, "kind")
	if version != builtinVersion {
		return &Failure{Kind: KindDisabled, File: file.show(), Line: root.Line,
			Message: fmt.Sprintf("%s of %s is a plugin or function, and these are off: only those of kustomize itself (apiVersion: builtin) run", kind, version)}
	}
	if kind == "HelmChartInflationGenerator" {
		if err := c.chartPlugin(file, root, directory); err != nil {
			return err
		}
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
				if err := c.pluginPath(file.show(), node.Content[i-1].Value, scalar, directory); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pluginPath refuses a path that is remote, or that leaves the tree that the
// plugin is in. There kustomize would find another one.
func (c *kustomizationCheck) pluginPath(file, key string, scalar *yaml.Node, directory treePath) error {
	if scalar.Kind == yaml.AliasNode {
		scalar = scalar.Alias
	}
	if scalar.Kind != yaml.ScalarNode {
		return nil
	}
	c.mounts.written.add(scalar.Value)
	for _, value := range []string{scalar.Value, afterKey(scalar.Value)} {
		if isRemote(value) {
			return &Failure{Kind: KindRemote, File: file, Line: scalar.Line,
				Message: fmt.Sprintf("%s: %s is remote; remote files are off: keep a copy in the repository, and name the copy here", key, withoutCredentials(scalar.Value))}
		}
		_, isMounted := below(mountPoint, path.Clean(value))
		_, isFetched := below(fetchedMounts, path.Clean(value))
		if isMounted || isFetched || !path.IsAbs(value) && leavesRoot(path.Join(directory.path, value)) {
			return &Failure{Kind: KindOutside, File: file, Line: scalar.Line, Message: fmt.Sprintf("%s: %s leaves the repository", key, withoutCredentials(scalar.Value))}
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
