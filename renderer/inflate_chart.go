package main

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// chartTree is a chart as `helm pull --untar` leaves it: a directory, of which
// Helm leaves out what .helmignore names. Of an archive it does not.
type chartTree struct {
	record *Record
}

// untarred unpacks a chart.
func untarred(found *foundChart) (*chartTree, error) {
	files, err := archive.LoadArchiveFiles(bytes.NewReader(found.data))
	if err != nil {
		return nil, failuref(KindChart, found.url, "the archive of the chart cannot be read: %s", err)
	}
	tree := newTree()
	for _, file := range files {
		if _, twice := tree.files[file.Name]; twice {
			tree.files[file.Name] = file.Data // as on a disk
			continue
		}
		if err := tree.addFile(file.Name, file.Data); err != nil {
			return nil, failuref(KindChart, found.url, "the archive of the chart cannot be unpacked: %s", err)
		}
	}
	return &chartTree{record: newRecord(tree, nil)}, nil
}

// load loads the chart.
func (t *chartTree) load(found *foundChart) (*chart.Chart, *chartFiles, error) {
	files := newChartFiles(chartSource{name: ".", directory: true})
	if err := files.readDirectory(t.record, "."); err != nil {
		return nil, nil, err
	}
	for first, origin := range files.origins {
		files.origins[first] = chartOrigin{file: found.url, inside: path.Join(origin.file, origin.inside)}
	}
	files.source, files.found = chartSource{name: found.url}, found
	loaded, err := files.load()
	if err != nil {
		return nil, nil, err
	}
	return loaded, files, checkLoaded(loaded, files.source)
}

// file returns a file of the chart.
func (t *chartTree) file(name string) ([]byte, error) {
	data, err := t.record.file(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return data, nil
}

// templateName is TemplateName of Helm's package action.
func templateName(text string) (string, error) {
	parsed, err := template.New("name-template").Funcs(sprig.TxtFuncMap()).Parse(text)
	if err != nil {
		return "", err
	}
	var name strings.Builder
	err = parsed.Execute(&name, nil)
	return name.String(), err
}

// printed joins documents and hooks as `helm template` prints them. Files of
// crds/ it prints as they are: their documents start with their separators.
func printed(response *Response) string {
	var manifests, hooks strings.Builder
	documents := response.Documents
	continues := func(i int) bool { // the file of the document before
		return i > 0 && i < len(documents) && documents[i].verbatim && documents[i-1].verbatim && documents[i].Source == documents[i-1].Source
	}
	for i, document := range documents {
		if !continues(i) {
			manifests.WriteString("---\n# Source: " + document.Source + "\n")
		}
		manifests.WriteString(document.YAML)
		if !continues(i + 1) {
			manifests.WriteString("\n")
		}
	}
	for _, hook := range response.Hooks {
		hooks.WriteString("---\n# Source: " + hook.Source + "\n" + hook.YAML + "\n")
	}
	return strings.TrimSpace(manifests.String()) + "\n" + hooks.String()
}
