package main

import (
	"encoding/json"
	"errors"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// reached is a directory or file that kustomizations lead to. Plugin says that
// it is one of generators, transformers or validators; root is the directory that
// the paths in it are relative to, without symbolic links.
type reached struct {
	treePath
	plugin bool
	root   treePath
}

// checkKustomizations reads every kustomization that a build of the directory
// would read, uses what was fetched for them, and refuses what the renderer does
// not do, with the file and the entry: remote files in other fields, paths out of
// the repository, charts, plugins and functions. It returns errWanted where
// something has to be fetched.
func checkKustomizations(mounts *mounts, directory string, withCharts bool) (*kustomizationCheck, error) {
	check := &kustomizationCheck{mounts: mounts, withCharts: withCharts, seen: map[reached]bool{}}
	check.next = append(check.next, reached{treePath: treePath{mounts.tree, directory}})
	for len(check.next) > 0 {
		at := check.next[len(check.next)-1]
		check.next = check.next[:len(check.next)-1]
		resolved, err := at.resolve()
		if isAbsent(err) {
			continue // kustomize reports it
		}
		if err != nil {
			return nil, err
		}
		key := reached{treePath: resolved, plugin: at.plugin, root: at.root}
		if check.seen[key] {
			continue
		}
		check.seen[key] = true
		if err := check.visit(at, key); err != nil {
			return nil, err
		}
	}
	if check.wanted {
		return nil, errWanted
	}
	return check, nil
}

type kustomizationCheck struct {
	mounts     *mounts
	withCharts bool // charts are rendered
	next       []reached
	seen       map[reached]bool
	wanted     bool      // something has to be fetched
	rewrites   []rewrite // of the kustomization that is visited
	warnings   []string  // about deprecated fields
	// What resources may come from: the files of resources, and generators.
	resources []declaringFile
	generated []declared
	// references are the files that declare which fields hold names.
	references nameReferences
}

// visit checks a file, or the kustomizations of a directory. Where it leads to by
// symbolic links is from: the paths in it are relative to that, as they are for
// kustomize. Errors show it as it was named.
func (c *kustomizationCheck) visit(at, from reached) error {
	if at.isFile() {
		data, err := at.file()
		if err != nil {
			return err
		}
		if at.plugin {
			return c.pluginConfig(at.treePath, data, at.root)
		}
		c.resources = append(c.resources, declaringFile{name: at.show(), data: data, lines: at.mount.spec == nil})
		return nil
	}
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := at.join(name)
		data, err := file.file()
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return err
		}
		c.rewrites = nil
		if err := c.kustomization(file, data, from); err != nil {
			return err
		}
		if len(c.rewrites) > 0 {
			if c.mounts.rewritten[from.join(name)], err = rewriteEntries(file, data, c.rewrites); err != nil {
				return err
			}
		}
	}
	return nil
}

// kustomization checks one file and adds what it leads to.
func (c *kustomizationCheck) kustomization(file treePath, data []byte, from reached) error {
	shown := file.show()
	if err := checkAliases(shown, data); err != nil {
		return err
	}
	var parsed types.Kustomization
	if err := parsed.Unmarshal(data); err != nil {
		return kustomizationFailure(shown, data, err)
	}
	if messages := parsed.CheckDeprecatedFields(); messages != nil {
		for _, message := range *messages {
			c.warnings = append(c.warnings, shown+": "+strings.TrimPrefix(message, "# Warning: "))
		}
	}
	if err := c.charts(file, data, &parsed, from); err != nil {
		return err
	}
	for _, generated := range generatedBy(shown, data, &parsed) {
		if file.mount.spec != nil {
			generated.line = 0
		}
		c.generated = append(c.generated, generated)
	}
	for _, entry := range entriesOf(&parsed) {
		if err := c.entry(file, data, entry, from); err != nil {
			return err
		}
	}
	return nil
}

// entry checks one entry of a kustomization.
func (c *kustomizationCheck) entry(file treePath, data []byte, entry kustomizationEntry, from reached) error {
	if entry.value == "" || entry.inline && looksInline(entry.value) {
		if entry.plugin {
			return c.pluginConfig(file, []byte(entry.value), from.treePath)
		}
		return checkAliases(file.show(), []byte(entry.value))
	}
	c.mounts.written.add(entry.value)
	if entry.remote && !from.plugin && isRemote(entry.value) && !isFileBefore(entry, from.treePath) {
		return c.remoteEntry(file, data, entry, from.treePath)
	}
	target, err := c.local(file, entry, from.treePath)
	if err != nil {
		return err
	}
	if err := belowRoot(file, entry, from, target); err != nil {
		return err
	}
	var list *[]string
	switch {
	case strings.HasPrefix(entry.field, "configurations["):
		list = &c.references.configurations
	case strings.HasPrefix(entry.field, "crds["):
		list = &c.references.crds
	case entry.follow:
		next := reached{treePath: target, plugin: from.plugin || entry.plugin}
		if entry.plugin {
			next.root = from.treePath
		} else if from.plugin {
			next.root = from.root
		}
		c.next = append(c.next, next)
	}
	if list != nil {
		if content, err := target.file(); err == nil {
			c.references.add(list, strings.TrimPrefix(path.Join(target.mount.point, target.path), "/"), content)
		}
	}
	return nil
}

// isFileBefore reports whether kustomize finds a file before it takes an entry for
// a repository. A component is always a directory.
func isFileBefore(entry kustomizationEntry, root treePath) bool {
	return isRepositoryOnly(entry.value) && !entry.isComponent() && root.join(entry.value).isFile()
}

// belowRoot refuses files beside a kustomization of a repository that was
// fetched: kustomize reads only what is in its directory or below
// (RestrictionRootOnly in its package api/internal/loader).
func belowRoot(file treePath, entry kustomizationEntry, from reached, target treePath) error {
	if file.mount.spec == nil || !target.isFile() {
		return nil
	}
	resolved, err := target.resolve()
	if err != nil {
		return err
	}
	if _, found := below(from.path, resolved.path); from.path != "." && !found {
		return failuref(KindOutside, file.show(), "%s: %s is not in or below the directory of the kustomization, and kustomize reads no other files of a remote base", entry.field, withoutCredentials(entry.value))
	}
	return nil
}

// local returns what an entry names, unless it is remote or leaves the tree.
func (c *kustomizationCheck) local(file treePath, entry kustomizationEntry, root treePath) (treePath, error) {
	if isRemote(entry.value) && !isFileBefore(entry, root) {
		return file, failuref(KindRemote, file.show(), "%s: %s is remote; only resources, bases and components are fetched: vendor it, which is to keep a copy in the repository, and name the copy here", entry.field, withoutCredentials(entry.value))
	}
	if path.IsAbs(entry.value) {
		return file, failuref(KindOutside, file.show(), "%s: %s is absolute, and leaves the repository", entry.field, withoutCredentials(entry.value))
	}
	target := root.join(entry.value)
	if leavesRoot(target.path) {
		return file, failuref(KindOutside, file.show(), "%s: %s leaves the repository", entry.field, withoutCredentials(entry.value))
	}
	return target, nil
}

// leavesRoot reports whether a clean path is outside of what it is relative to.
func leavesRoot(name string) bool { return name == ".." || strings.HasPrefix(name, "../") }

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
