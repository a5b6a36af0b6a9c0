package main

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/kio/kioutil"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// apply applies a patch to the objects that it matches, with the rules of
// kustomize's PatchTransformer. Otherwise than there, a patch that matches
// nothing is an error in every form: it is always a mistake, and nobody sees it.
// An object that was deleted is left empty.
func (p *PostPatch) apply(run *postRun) error {
	if strings.TrimSpace(p.Patch) == "" {
		return p.failure("the patch is empty")
	}
	if err := checkAliases(p.Name, []byte(p.Patch)); err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(p.Patch), &root); err != nil {
		return &Failure{Kind: KindPatch, File: p.Name, Line: yamlErrorLine(err.Error()), Message: p.place() + "the patch is not YAML: " + err.Error()}
	}
	if len(root.Content) > 0 && root.Content[0].Kind == yaml.SequenceNode {
		return p.applyJSON(run, root.Content[0])
	}
	return p.applyMerge(run)
}

// applyMerge applies a strategic merge patch, or several without a target.
func (p *PostPatch) applyMerge(run *postRun) error {
	patches, err := resources.SliceFromBytes([]byte(p.Patch))
	if err != nil {
		return p.failure("the patch is neither a list of JSON 6902 operations nor an object with kind and metadata.name, as a strategic merge patch is: " + firstLine(err))
	}
	if p.Target != nil && len(patches) > 1 {
		return p.failure("several strategic merge patches cannot share a target: give each an entry of its own")
	}
	for _, patch := range patches {
		readAsKubernetes(patch.YNode())
		matched, err := p.matches(run, patch)
		if err != nil {
			return err
		}
		for _, object := range matched {
			// As in ResMap.ApplySmPatch: names and kinds of a patch with a target
			// are ignored, and the patch is no part of what it is merged into.
			merged := patch.DeepCopy()
			merged.CopyMergeMetaDataFieldsFrom(patch) //nolint:errcheck // never fails with annotations that were read
			if p.Target != nil {
				merged.SetGvk(object.resource.GetGvk())
				merged.SetKind(patch.GetKind())
			}
			id := object.id()
			if err := object.resource.ApplySmPatch(merged); err != nil {
				return p.failure(fmt.Sprintf("apply to %s: %s", id, err))
			}
			object.changed = true
		}
	}
	return nil
}

// applyJSON applies a JSON 6902 patch.
func (p *PostPatch) applyJSON(run *postRun, operations *yaml.Node) error {
	if p.Target == nil {
		return p.failure("a JSON 6902 patch needs a target")
	}
	patch, err := decodeJSONPatch(operations)
	if err != nil {
		return p.failure("the list is no JSON 6902 patch: " + err.Error())
	}
	matched, err := p.matches(run, nil)
	if err != nil {
		return err
	}
	for _, object := range matched {
		target := object.resource
		id := target.CurId()
		// kustomize keeps its notes on names in annotations, where no patch loses them.
		target.StorePreviousId()
		notes := kioutil.GetInternalAnnotations(&target.RNode)
		if err := applyJSONPatch(target.YNode(), patch); err != nil {
			return p.failure(fmt.Sprintf("apply to %s: %s", object.id(), err))
		}
		annotations := target.GetAnnotations()
		for key, value := range notes {
			annotations[key] = value
		}
		if err := target.SetAnnotations(annotations); err != nil {
			return p.failure(fmt.Sprintf("apply to %s: %s", id, err))
		}
		if target.GetKind() == "" || target.GetName() == "" {
			return p.failure(fmt.Sprintf("it takes kind or name away from %s", id))
		}
		object.changed = true
		if !target.CurId().Equals(id) {
			run.renamed = true
		} else {
			target.RemoveBuildAnnotations()
		}
	}
	return nil
}

// matches returns the objects that a patch applies to: those of its target, or
// the one that a strategic merge patch names.
func (p *PostPatch) matches(run *postRun, named *resource.Resource) ([]*postObject, error) {
	var matched []*postObject
	if p.Target == nil {
		for _, object := range run.objects {
			if object.resource != nil && hasID(object.resource, named.OrgId()) {
				matched = append(matched, object)
			}
		}
		count := run.match(matched)
		if count > 1 {
			return nil, p.failure(fmt.Sprintf("%d objects are %s: name one by a target", count, named.OrgId()))
		}
		if count == 0 {
			return nil, p.failure(fmt.Sprintf("no object is %s, so the patch would change nothing", named.OrgId()))
		}
		return matched, nil
	}
	selector := types.Selector{
		ResId: resid.ResId{Gvk: resid.Gvk{Group: p.Target.Group, Version: p.Target.Version, Kind: p.Target.Kind},
			Name: p.Target.Name, Namespace: p.Target.Namespace},
		LabelSelector: p.Target.LabelSelector, AnnotationSelector: p.Target.AnnotationSelector,
	}
	expressions, err := types.NewSelectorRegex(&selector)
	if err != nil {
		return nil, p.failure(err.Error())
	}
	for _, object := range run.objects {
		if object.resource == nil {
			continue
		}
		selected, err := isSelected(object.resource, expressions, &selector)
		if err != nil {
			return nil, p.failure(err.Error())
		}
		if selected {
			matched = append(matched, object)
		}
	}
	if run.match(matched) == 0 {
		return nil, p.failure("no object matches the target, so the patch would change nothing")
	}
	return matched, nil
}

// hasID reports whether an object has an id, or had it before it was renamed.
func hasID(object *resource.Resource, id resid.ResId) bool {
	for _, previous := range object.PrevIds() {
		if previous.Equals(id) {
			return true
		}
	}
	return object.CurId().Equals(id)
}

// isSelected is the condition of ResMap.Select, which is only there for a whole
// ResMap: that refuses objects given twice, and takes a time quadratic in them.
func isSelected(object *resource.Resource, expressions *types.SelectorRegex, selector *types.Selector) (bool, error) {
	current, original := object.CurId(), object.OrgId()
	if !expressions.MatchNamespace(original.EffectiveNamespace()) && !expressions.MatchNamespace(current.EffectiveNamespace()) ||
		!expressions.MatchName(original.Name) && !expressions.MatchName(current.Name) ||
		!expressions.MatchGvk(object.GetGvk()) {
		return false, nil
	}
	labelled, err := object.MatchesLabelSelector(selector.LabelSelector)
	if err != nil || !labelled {
		return false, err
	}
	return object.MatchesAnnotationSelector(selector.AnnotationSelector)
}

// failure names the patch and its target.
func (p *PostPatch) failure(message string) *Failure {
	return &Failure{Kind: KindPatch, File: p.Name, Message: p.place() + message}
}

// place returns how errors begin.
func (p *PostPatch) place() string {
	if p.Target == nil {
		return p.Name + ": "
	}
	var parts []string
	for _, field := range [][2]string{
		{"group", p.Target.Group}, {"version", p.Target.Version}, {"kind", p.Target.Kind}, {"namespace", p.Target.Namespace}, {"name", p.Target.Name},
		{"labelSelector", p.Target.LabelSelector}, {"annotationSelector", p.Target.AnnotationSelector},
	} {
		if field[1] != "" {
			parts = append(parts, field[0]+": "+field[1])
		}
	}
	return fmt.Sprintf("%s (target {%s}): ", p.Name, strings.Join(parts, ", "))
}
