package main

import (
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
)

// originAnnotations are what kustomize writes where buildMetadata asks for it: a
// mapping, and a list of such.
const (
	originAnnotation         = "config.kubernetes.io/origin"
	transformationAnnotation = "alpha.config.kubernetes.io/transformations"
)

// correctOrigins writes into the annotations about origins what kustomize does
// for repositories that it has cloned, instead of the path of a mount.
func (m *mounts) correctOrigins(resources resmap.ResMap) error {
	for _, object := range resources.Resources() {
		annotations := object.GetAnnotations()
		changed := false
		if text := annotations[originAnnotation]; strings.Contains(text, fetchedMounts) {
			var origin resource.Origin
			if err := yaml.Unmarshal([]byte(text), &origin); err != nil {
				return err
			}
			m.correct(&origin)
			corrected, err := origin.String()
			if err != nil {
				return err
			}
			annotations[originAnnotation], changed = corrected, true
		}
		if text := annotations[transformationAnnotation]; strings.Contains(text, fetchedMounts) {
			var transformations resource.Transformations
			if err := yaml.Unmarshal([]byte(text), &transformations); err != nil {
				return err
			}
			for _, origin := range transformations {
				m.correct(origin)
			}
			corrected, err := transformations.String()
			if err != nil {
				return err
			}
			annotations[transformationAnnotation], changed = corrected, true
		}
		if changed {
			if err := object.SetAnnotations(annotations); err != nil {
				return err
			}
		}
	}
	return nil
}

// correct does what Origin.Append of kustomize's package api/resource does with a
// URL.
func (m *mounts) correct(origin *resource.Origin) {
	for _, field := range []*string{&origin.Path, &origin.ConfiguredIn} {
		_, rest, found := strings.Cut("/"+*field, fetchedMounts+"/")
		if !found {
			continue
		}
		text, inside, _ := strings.Cut(rest, "/")
		number, err := strconv.Atoi(text)
		if err != nil || number >= len(m.fetched) {
			continue
		}
		spec := m.fetched[number].spec
		if spec.path == "" {
			inside = path.Join("notCloned", inside) // kustomize's name for a root
		}
		*field, origin.Repo, origin.Ref = inside, spec.clone, spec.ref
	}
}
