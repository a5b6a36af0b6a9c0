package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// checkLock refuses a lock file that does not belong to the dependencies, in the
// words of Helm's Manager.Build.
func checkLock(loaded *chart.Chart, named *namedPlaces) error {
	if loaded.Lock == nil {
		return nil
	}
	dependencies := withoutAliases(loaded)
	if hashOf([2][]*chart.Dependency{dependencies, loaded.Lock.Dependencies}) == loaded.Lock.Digest {
		return nil
	}
	message := "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the dependencies with 'helm dependency update'"
	if loaded.Metadata.APIVersion == chart.APIVersionV1 {
		// Helm 2 hashed what Chart.yaml says, aliases of repositories included.
		if hashOf(map[string][]*chart.Dependency{"dependencies": loaded.Metadata.Dependencies}) == loaded.Lock.Digest {
			return nil
		}
		message = "the lock file (requirements.lock) is out of sync with the dependencies file (requirements.yaml). Please update the dependencies"
	}
	return &Failure{Kind: KindDependency, File: named.lock.file, Chart: loaded.Name(), Message: message}
}

// hashOf is HashReq and HashV2Req of Helm's internal/resolver, by what is given.
func hashOf(dependencies any) string {
	data, err := json.Marshal(dependencies)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// withoutAliases returns the dependencies with the URLs that the lock file gives
// for aliases of repositories: Helm replaces them before it hashes.
func withoutAliases(loaded *chart.Chart) []*chart.Dependency {
	var replaced []*chart.Dependency
	for i, dependency := range loaded.Metadata.Dependencies {
		isAlias := strings.HasPrefix(dependency.Repository, "@") || strings.HasPrefix(dependency.Repository, "alias:")
		if isAlias && i < len(loaded.Lock.Dependencies) && loaded.Lock.Dependencies[i] != nil {
			copied := *dependency
			copied.Repository = loaded.Lock.Dependencies[i].Repository
			dependency = &copied
		}
		replaced = append(replaced, dependency)
	}
	return replaced
}

// namedPlaces are where a chart names its dependencies, and where they are locked.
type namedPlaces struct {
	declared, lock listPlace
}

// listPlace is the list "dependencies" of a file.
type listPlace struct {
	file  string
	lines []int
}

// dependencyPlace is where one dependency is named.
type dependencyPlace struct {
	file  string
	line  int
	field string
}

// namedDependencies finds where a chart in the tree names its dependencies.
func namedDependencies(record *Record, source chartSource) *namedPlaces {
	return &namedPlaces{
		declared: firstList(record, source.at("requirements.yaml"), source.at("Chart.yaml")),
		lock:     firstList(record, source.at("requirements.lock"), source.at("Chart.lock")),
	}
}

// firstList reads the first file that has a list of dependencies. It is of those
// that were read as files of the chart, and so is no new one.
func firstList(record *Record, files ...string) listPlace {
	place := listPlace{}
	for _, file := range files {
		found, err := record.tree.resolve(file)
		data, isFile := record.tree.files[found.path]
		if err != nil || !isFile {
			continue
		}
		place = listPlace{file: file}
		var document struct {
			Dependencies []yaml.Node `yaml:"dependencies"`
		}
		if err := yaml.Unmarshal(data, &document); err != nil || len(document.Dependencies) == 0 {
			continue
		}
		for i := range document.Dependencies {
			place.lines = append(place.lines, document.Dependencies[i].Line)
		}
		break
	}
	return place
}

// of returns where the dependency with an index is named, or locked.
func (n *namedPlaces) of(index int, locked bool) dependencyPlace {
	list := n.declared
	if locked {
		list = n.lock
	}
	place := dependencyPlace{file: list.file, field: fmt.Sprintf("dependencies[%d]", index)}
	if index < len(list.lines) {
		place.line = list.lines[index]
	}
	return place
}

// sought returns what has to be found for a dependency that is named there.
func (p dependencyPlace) sought(dependency *chart.Dependency) *soughtChart {
	return &soughtChart{repository: dependency.Repository, name: dependency.Name, version: dependency.Version,
		kind: KindDependency, file: p.file, line: p.line, field: p.field}
}
