package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// isEmpty reports whether there is nothing to apply.
func (p *Post) isEmpty() bool {
	return p.NamePrefix == "" && len(p.Labels)+len(p.Annotations)+len(p.Patches) == 0
}

// applyPost sets on every document and hook what the sync says, in the order of
// Flux: patches, then the prefix, and in the end labels and annotations, which
// no target of a patch sees. What is not changed keeps its text.
func applyPost(post *Post, response *Response) (*postRun, error) {
	run := &postRun{post: post}
	if post.isEmpty() {
		return run, nil
	}
	return run, run.apply(response)
}

// postObject is an object of a document or hook.
type postObject struct {
	resource *resource.Resource // nil where the document holds nothing but comments
	index    int                // of the document, and then of the hooks
	document Document
	hook     *Hook // nil for a document
	changed  bool
}

// apply works on the documents and hooks of a response.
func (r *postRun) apply(response *Response) error {
	if err := r.parse(response); err != nil {
		return err
	}
	for i := range r.post.Patches {
		if err := r.post.Patches[i].apply(r); err != nil {
			return err
		}
		r.objects = slices.DeleteFunc(r.objects, func(o *postObject) bool { return o.resource != nil && o.resource.IsNilOrEmpty() })
	}
	if r.needsAll() {
		if r.before != nil {
			return errNeedsAll
		}
		if err := prefixNames(r.post.NamePrefix, response.references, r.objects); err != nil {
			return err
		}
	}
	for _, object := range r.objects {
		if err := object.setMetadata("labels", r.post.Labels); err != nil {
			return err
		}
		if err := object.setMetadata("annotations", r.post.Annotations); err != nil {
			return err
		}
		if err := object.write(); err != nil {
			return err
		}
	}
	r.fill(response)
	return nil
}

// parse parses documents and hooks. A list becomes its items, as it does in
// kustomize.
func (r *postRun) parse(response *Response) error {
	index := -1
	add := func(document Document, hook *Hook) error {
		index++
		if r.isSteady(index) {
			return nil
		}
		if err := checkAliases(document.File, []byte(document.YAML)); err != nil {
			return err
		}
		parsed, isList, err := parseObjects(document.YAML)
		if err != nil {
			return &Failure{Kind: KindPost, File: document.File, Line: document.Line,
				Message: fmt.Sprintf("%s: what the sync sets on its objects cannot be applied to this document: %s", document.Source, firstLine(err))}
		}
		if len(parsed) == 0 && hasContent(document.YAML) {
			return nil // an empty list
		}
		if len(parsed) == 0 {
			r.objects = append(r.objects, &postObject{index: index, document: document, hook: hook})
		}
		for _, one := range parsed {
			readAsKubernetes(one.YNode())
			r.objects = append(r.objects, &postObject{resource: one, index: index, document: document, hook: hook, changed: isList})
		}
		return nil
	}
	for i := range response.Documents {
		if err := add(response.Documents[i], nil); err != nil {
			return err
		}
	}
	for i := range response.Hooks {
		if err := add(response.Hooks[i].Document, &response.Hooks[i]); err != nil {
			return err
		}
	}
	return nil
}

// resources makes kustomize's resources, also of objects that it would drop from
// its output.
var resources = func() *resource.Factory {
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	factory.IncludeLocalConfigs = true
	return factory
}()

// parseObjects does what resources.SliceFromBytes does, but copies a document to
// expand its aliases only where it has some. isList says that the objects were
// the items of a list.
func parseObjects(text string) (objects []*resource.Resource, isList bool, err error) {
	expand := strings.Contains(text, "*") && strings.Contains(text, "<<") || mayHaveAliases([]byte(text))
	reader := kio.ByteReader{Reader: strings.NewReader(text), OmitReaderAnnotations: true, AnchorsAweigh: expand}
	nodes, err := reader.Read()
	if err != nil {
		return nil, false, err
	}
	for _, node := range nodes {
		if node.YNode().Kind != yaml.MappingNode {
			return nil, false, errors.New("it is no object")
		}
		if strings.HasSuffix(node.GetKind(), "List") {
			objects, err = resources.SliceFromBytes([]byte(text))
			return objects, len(objects) != 1 || objects[0].GetKind() != node.GetKind(), err
		}
	}
	objects, err = resources.ResourcesFromRNodes(nodes)
	return objects, reader.WrappingKind != "", err
}

// firstLine returns an error without what kustomize cites of an object.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line, _, _ = strings.Cut(line, " in object ")
	return line
}

// id returns how errors name an object.
func (o *postObject) id() string {
	if namespace := o.resource.GetNamespace(); namespace != "" {
		return o.resource.GetKind() + " " + namespace + "/" + o.resource.GetName()
	}
	return o.resource.GetKind() + " " + o.resource.GetName()
}

// setMetadata sets labels or annotations of the object itself.
func (o *postObject) setMetadata(field string, pairs map[string]string) error {
	if o.resource == nil || len(pairs) == 0 {
		return nil
	}
	o.changed = true
	holder, err := o.resource.Pipe(yaml.LookupCreate(yaml.MappingNode, yaml.MetadataField, field))
	if err == nil && holder.IsTaggedNull() {
		holder.SetYNode(&yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap})
	}
	if err == nil && holder.YNode().Kind != yaml.MappingNode {
		err = errors.New("it is no mapping")
	}
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if err == nil {
			err = holder.PipeE(yaml.SetField(key, yaml.NewRNode(textNode(pairs[key]))))
		}
	}
	if err != nil {
		return o.failure(fmt.Sprintf("set metadata.%s: %s", field, err))
	}
	return nil
}

func (o *postObject) failure(message string) *Failure {
	return &Failure{Kind: KindPost, File: o.document.File, Line: o.document.Line, Message: fmt.Sprintf("%s (%s): %s", o.id(), o.document.Source, message)}
}

// write gives the document its text, and reads again what makes it a hook.
func (o *postObject) write() error {
	if !o.changed {
		return nil
	}
	text, err := writeForKubernetes(o.resource.YNode())
	if err != nil {
		return o.failure(err.Error())
	}
	o.document.YAML = text
	if o.hook == nil {
		return nil
	}
	hook := hookAgain(o.document)
	if len(hook.Events) == 0 {
		return o.failure("a patch takes its annotation helm.sh/hook away, and a hook stays one: leave it out in the chart's values instead")
	}
	o.hook = &hook
	return nil
}

// hookAgain reads what makes a document a hook. It has no events where nothing does.
func hookAgain(document Document) Hook {
	hooks, _, err := releaseutil.SortManifests(map[string]string{document.Source: document.YAML}, nil, releaseutil.InstallOrder)
	if err != nil || len(hooks) != 1 {
		return Hook{}
	}
	return hookOf(hooks[0], document.File)
}
