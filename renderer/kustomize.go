package main

import (
	"errors"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
)

// renderKustomize does what `kustomize build --load-restrictor
// LoadRestrictionsNone` does, as Flux runs it: files may lie anywhere in the
// repository. Plugins, functions and the inflation of charts are off.
func renderKustomize(request *Request, record *Record, response *Response) error {
	if !record.isDirectory(request.Path) {
		return missingPath(record, request.Path, "the path is no directory of the repository")
	}
	check, err := checkKustomizations(record, request.Path)
	if err != nil {
		return err
	}
	response.Warnings = append(response.Warnings, check.warnings...)

	resources, err := runKustomize(record, request.Path)
	if err != nil {
		return kustomizeFailure(record, request.Path, err)
	}
	response.references = check.references.read(record)
	places := indexDeclared(record, check)
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return kustomizeFailure(record, request.Path, err)
		}
		at := places.of(resource.GetKind(), resource.GetNamespace(), resource.GetName())
		response.Documents = append(response.Documents, Document{YAML: string(text), Source: at.file, File: at.file, Line: at.line})
	}
	return nil
}

func runKustomize(record *Record, directory string) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	// As the command does where no flag says otherwise.
	options.Reorder = krusty.ReorderOptionUnspecified
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.PluginConfig = types.DisabledPluginConfig()
	return krusty.MakeKustomizer(options).Run(&mounted{record: record}, path.Join(mountPoint, directory))
}

var (
	// Errors of kustomize name the directories that led to them, from the
	// outermost in, and the entries of the innermost.
	accumulated = regexp.MustCompile(`(?:accumulation of path|target for path) '([^']*)'`)
	entry       = regexp.MustCompile(`(?:accumulating|merging) resources from '([^']+)'`)
	// A pointer is another one in each run, and says nothing.
	pointers = regexp.MustCompile(` &\{0x[0-9a-f]+ <nil>\}`)
	yamlLine = regexp.MustCompile(`yaml: line (\d+)`)
)

// kustomizeFailure gives an error of kustomize its place: the file that is not
// YAML, or else the kustomization of the innermost directory.
func kustomizeFailure(record *Record, directory string, err error) error {
	if record.refused != nil {
		return record.refused
	}
	message := strings.TrimSpace(err.Error())
	failure := &Failure{Kind: KindKustomize}
	var known *Failure
	if errors.As(err, &known) {
		failure.Kind = known.Kind
	}
	if strings.Contains(message, "external plugins disabled") {
		failure.Kind = KindDisabled
	}
	if found := accumulated.FindAllStringSubmatch(message, -1); len(found) > 0 {
		innermost := strings.TrimPrefix(strings.TrimPrefix(found[len(found)-1][1], mountPoint), "/")
		if cleaned, err := cleanPath(innermost); err == nil {
			directory = cleaned
		}
	}
	failure.File = kustomizationIn(record, directory)
	if found := yamlLine.FindStringSubmatch(message); found != nil {
		failure.Kind = KindYAML
	}
	if found := entry.FindAllStringSubmatch(message, -1); len(found) > 0 {
		named := path.Join(directory, found[len(found)-1][1])
		if cleaned, err := cleanPath(named); err == nil && record.isFile(cleaned) {
			failure.File = cleaned
		}
	}
	if failure.Kind == KindYAML {
		failure.Line = yamlErrorLine(message)
	}
	failure.Message = withoutMountPoint(pointers.ReplaceAllString(message, ""))
	return failure
}

// withoutMountPoint writes the paths of a message as they are in the tree.
func withoutMountPoint(message string) string {
	message = strings.ReplaceAll(message, mountPoint+"/", "")
	return strings.ReplaceAll(message, "'"+mountPoint+"'", "'.'")
}
