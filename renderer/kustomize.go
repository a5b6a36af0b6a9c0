package main

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
)

// renderKustomize does what `kustomize build --load-restrictor
// LoadRestrictionsNone` does, as Flux runs it: files may lie anywhere in the
// repository. Plugins and functions are off, and charts unless they are asked for.
func renderKustomize(request *Request, record *Record, response *Response) error {
	if !record.isDirectory(request.Path) {
		return missingPath(record, request.Path, "the path is no directory of the repository")
	}
	mounts := newMounts(record)
	check, err := checkKustomizations(mounts, request.Path, request.Kustomize.HelmCharts)
	if err != nil {
		return err
	}
	response.Warnings = append(response.Warnings, check.warnings...)

	resources, err := runKustomize(mounts, request.Path, request.Kustomize.HelmCharts)
	if err != nil {
		return kustomizeFailure(mounts, request.Path, err)
	}
	response.references = check.references
	places := indexDeclared(check)
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return kustomizeFailure(mounts, request.Path, err)
		}
		at := places.of(resource.GetKind(), resource.GetNamespace(), resource.GetName())
		response.Documents = append(response.Documents, Document{YAML: string(text), Source: at.file, File: at.file, Line: at.line})
	}
	return nil
}

func runKustomize(mounts *mounts, directory string, withCharts bool) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	// As the command does where no flag says otherwise.
	options.Reorder = krusty.ReorderOptionUnspecified
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.PluginConfig = types.DisabledPluginConfig()
	http.DefaultTransport = servedFiles(mounts.files)
	inflateCharts(mounts, withCharts)
	resources, err := krusty.MakeKustomizer(options).Run(&mounted{mounts}, path.Join(mountPoint, directory))
	if err != nil {
		return nil, err
	}
	return resources, mounts.correctOrigins(resources)
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
func kustomizeFailure(mounts *mounts, name string, err error) error {
	if err := cmp.Or(mounts.failed, mounts.refused()); err != nil {
		return err
	}
	directory := treePath{mounts.tree, name}
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
		if innermost, ok := mounts.locate(found[len(found)-1][1]); ok {
			directory = innermost
		}
	}
	failure.File = kustomizationIn(directory).show()
	if found := yamlLine.FindStringSubmatch(message); found != nil {
		failure.Kind = KindYAML
	}
	if found := entry.FindAllStringSubmatch(message, -1); len(found) > 0 {
		named := found[len(found)-1][1]
		if root, err := directory.resolve(); err == nil {
			directory = root
		}
		if at, ok := mounts.locate(path.Join(directory.mount.point, directory.path, named)); ok && at.isFile() {
			failure.File = at.show()
		} else if _, isFetched := mounts.files[named]; isFetched {
			failure.File = withoutCredentials(named)
		}
	}
	if failure.Kind == KindYAML {
		failure.Line = yamlErrorLine(message)
	}
	failure.Message = mounts.showPaths(pointers.ReplaceAllString(message, ""))
	return failure
}
