package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// prefixNames gives the names a prefix and lets references follow, also those to
// names that a patch changed. Builds of kustomize with the objects as their only
// resource do so; they neither add nor drop one, so that they keep their order. An
// object that is there twice, as the CRDs of a dependency with two aliases are, is
// given to kustomize once.
func prefixNames(prefix string, references nameReferences, objects []*postObject) error {
	named := make([]*postObject, 0, len(objects))
	seen := map[resid.ResId]*postObject{}
	copies := map[*postObject]*postObject{}
	for _, object := range objects {
		if object.resource == nil {
			continue
		}
		id := object.resource.CurId()
		id.Namespace = id.EffectiveNamespace()
		if first, found := seen[id]; found {
			if !sameTree(first.resource.YNode(), object.resource.YNode()) {
				return object.failure(fmt.Sprintf("another object of this name is in %s, and references to it cannot be told apart: render it once", first.document.Source))
			}
			copies[object] = first
			continue
		}
		seen[id] = object
		named = append(named, object)
	}
	for _, batch := range prefixBatches(prefix, references, named, batchSize) {
		if err := prefixBatch(prefix, references, batch); err != nil {
			return err
		}
	}
	for object, first := range copies {
		object.changed = object.changed || first.changed
		object.resource.RNode = *first.resource.RNode.Copy()
	}
	return nil
}

func prefixBatch(prefix string, references nameReferences, batch []*postObject) error {
	var stream bytes.Buffer
	for _, object := range batch {
		kept, err := object.withoutLocalConfig()
		if err != nil {
			return object.failure(err.Error())
		}
		text, err := writeForKubernetes(kept.YNode())
		if err != nil {
			return object.failure(err.Error())
		}
		stream.WriteString("---\n" + text)
	}
	built, err := buildPrefixed(prefix, references, stream.Bytes())
	if err != nil {
		return &Failure{Kind: KindPost, Message: "namePrefix: " + strings.ReplaceAll(err.Error(), postDirectory+"/", "")}
	}
	if len(built) != len(batch) {
		return &Failure{Kind: KindInternal, Message: fmt.Sprintf("namePrefix: kustomize made %d objects of %d", len(built), len(batch))}
	}
	for i, object := range batch {
		if err := object.replace(built[i]); err != nil {
			return object.failure(err.Error())
		}
	}
	return nil
}

// nameReferences are the files by which an overlay declares that fields hold
// names: kustomize's fields configurations and crds. An overlay over it knows
// them as well, and so does post.
type nameReferences struct {
	configurations, crds []string
	contents             map[string][]byte
}

func (r *nameReferences) isEmpty() bool { return len(r.configurations)+len(r.crds) == 0 }

// add adds a file to one of the lists, unless it is there.
func (r *nameReferences) add(list *[]string, file string, data []byte) {
	if r.contents == nil {
		r.contents = map[string][]byte{}
	}
	if !slices.Contains(*list, file) {
		*list = append(*list, file)
	}
	r.contents[file] = data
}

const postDirectory = "/post"

func buildPrefixed(prefix string, references nameReferences, stream []byte) ([]*yaml.RNode, error) {
	kustomization, err := yaml.Marshal(types.Kustomization{NamePrefix: prefix, Resources: []string{"objects.yaml"},
		Configurations: inReferences(references.configurations), Crds: inReferences(references.crds)})
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{konfig.DefaultKustomizationFileName(): kustomization, "objects.yaml": stream}
	for file, data := range references.contents {
		contents[referencesDirectory+file] = data
	}
	files := filesys.MakeFsInMemory()
	for name, data := range contents {
		if err := files.WriteFile(path.Join(postDirectory, name), data); err != nil {
			return nil, err
		}
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionNone
	options.PluginConfig = types.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(files, postDirectory)
	if err != nil {
		return nil, err
	}
	return built.ToRNodeSlice(), nil
}

const referencesDirectory = "references/"

// inReferences returns where files of the tree are for the build.
func inReferences(files []string) []string {
	var found []string
	for _, file := range files {
		found = append(found, referencesDirectory+file)
	}
	return found
}

// withoutLocalConfig returns the object without the annotation that makes
// kustomize drop it from its output.
func (o *postObject) withoutLocalConfig() (*yaml.RNode, error) {
	if o.resource.GetAnnotations()[konfig.IgnoredByKustomizeAnnotation] == "" {
		return &o.resource.RNode, nil
	}
	kept := o.resource.RNode.Copy()
	return kept, kept.PipeE(yaml.ClearAnnotation(konfig.IgnoredByKustomizeAnnotation))
}

// replace takes over what kustomize made of the object, if that changed anything.
func (o *postObject) replace(built *yaml.RNode) error {
	if local := o.resource.GetAnnotations()[konfig.IgnoredByKustomizeAnnotation]; local != "" {
		if err := built.PipeE(yaml.SetAnnotation(konfig.IgnoredByKustomizeAnnotation, local)); err != nil {
			return err
		}
	}
	if !sameTree(o.resource.YNode(), built.YNode()) {
		o.changed = true
	}
	o.resource.RNode = *built
	return nil
}

// sameTree reports whether two documents hold the same.
func sameTree(a, b *yaml.Node) bool {
	type pair struct{ a, b *yaml.Node }
	stack := []pair{{a, b}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.a.Kind != at.b.Kind || at.a.Value != at.b.Value || at.a.Tag != at.b.Tag || len(at.a.Content) != len(at.b.Content) {
			return false
		}
		for i := range at.a.Content {
			stack = append(stack, pair{at.a.Content[i], at.b.Content[i]})
		}
	}
	return true
}
