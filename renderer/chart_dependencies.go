package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"sigs.k8s.io/yaml"
)

// addDependencies adds the dependencies of a chart in the tree that are not in
// its charts/, as `helm dependency build` would put them there: out of the tree
// for file://, else out of what was fetched. It returns errWanted where some
// have to be fetched.
func addDependencies(record *Record, loaded *chart.Chart, files *chartFiles) error {
	if !files.source.directory {
		return nil // it is packed with its dependencies
	}
	adder := &dependencyAdder{record: record}
	return adder.add(loaded, files)
}

// maxLocalDepth bounds how deep charts may name each other by file://.
const maxLocalDepth = 20

type dependencyAdder struct {
	record *Record
	trail  []string // the directories of the charts that led to this one
	files  int      // of charts by file://, which multiply where they fork
}

const fileScheme = "file://"

func (a *dependencyAdder) add(loaded *chart.Chart, files *chartFiles) error {
	missing := missingDependencies(loaded)
	if len(missing) == 0 {
		return nil
	}
	named := namedDependencies(a.record, files.source)
	if err := checkRepositories(loaded, missing, named); err != nil {
		return err
	}
	if err := checkLock(loaded, named); err != nil {
		return err
	}
	wanted := false
	added := map[string]bool{}
	for _, index := range missing {
		sub, err := a.load(exactDependency(loaded, index, named), files)
		if errors.Is(err, errWanted) {
			wanted = true
			continue
		}
		if err != nil {
			return withChart(err, loaded.Name())
		}
		// Of a chart that is there twice by aliases, Helm keeps one archive.
		if key := sub.Name() + "-" + sub.Metadata.Version; !added[key] {
			added[key] = true
			loaded.AddDependency(sub)
		}
	}
	if wanted {
		return errWanted
	}
	return nil
}

// missingDependencies returns the indexes of the dependencies that are not in
// charts/ and are to be had from somewhere. Helm finds them by name; where a name
// is there more than once, the version decides.
func missingDependencies(loaded *chart.Chart) []int {
	names := map[string]int{}
	for _, dependency := range loaded.Metadata.Dependencies {
		names[dependency.Name]++
	}
	var missing []int
	for i, dependency := range loaded.Metadata.Dependencies {
		vendored := slices.ContainsFunc(loaded.Dependencies(), func(c *chart.Chart) bool {
			return c.Name() == dependency.Name && (names[dependency.Name] == 1 || chartutil.IsCompatibleRange(dependency.Version, c.Metadata.Version))
		})
		if !vendored && dependency.Repository != "" {
			missing = append(missing, i)
		}
	}
	return missing
}

// checkRepositories refuses dependencies whose repositories have no URL.
func checkRepositories(loaded *chart.Chart, missing []int, named *namedPlaces) error {
	for _, index := range missing {
		dependency := loaded.Metadata.Dependencies[index]
		repository := dependency.Repository
		place := named.of(index, false)
		switch {
		case strings.HasPrefix(repository, fileScheme), isOCI(repository):
			continue
		case strings.HasPrefix(repository, "@"), strings.HasPrefix(repository, "alias:"):
			return withChart(place.sought(dependency).failuref("the repository %s of the dependency %s is an alias, which only the configuration of a user explains: write its URL, or commit what `helm dependency build` puts into charts/",
				withoutCredentials(repository), dependency.Name), loaded.Name())
		}
		if _, err := url.ParseRequestURI(repository); err != nil {
			return withChart(place.sought(dependency).failuref("the repository %q of the dependency %s is no URL", withoutCredentials(repository), dependency.Name), loaded.Name())
		}
	}
	return nil
}

// exactDependency returns a dependency with the version that the lock file gives,
// as far as there is one.
func exactDependency(loaded *chart.Chart, index int, named *namedPlaces) *soughtDependency {
	wanted := loaded.Metadata.Dependencies[index]
	if loaded.Lock != nil {
		locked := loaded.Lock.Dependencies
		if index < len(locked) && locked[index] != nil && locked[index].Name == wanted.Name {
			return &soughtDependency{Dependency: locked[index], sought: named.of(index, true).sought(locked[index]), locked: true}
		}
	}
	return &soughtDependency{Dependency: wanted, sought: named.of(index, false).sought(wanted)}
}

// soughtDependency is a dependency that is not in charts/.
type soughtDependency struct {
	*chart.Dependency
	sought *soughtChart
	locked bool // its version is that of a lock file
}

// load returns the chart of a dependency, or errWanted.
func (a *dependencyAdder) load(dependency *soughtDependency, files *chartFiles) (*chart.Chart, error) {
	constraint, err := semver.NewConstraint(dependency.Version)
	if err != nil {
		return nil, dependency.sought.failuref("dependency %q has an invalid version/constraint format: %s", dependency.Name, err)
	}
	if strings.HasPrefix(dependency.Repository, fileScheme) {
		return a.local(dependency, constraint, files)
	}
	if !dependency.locked && !isExactDependency(dependency.Dependency) {
		return nil, dependency.sought.failuref("the dependency %s has the version %q, which is not a single one, and there is no Chart.lock: run `helm dependency update`, and commit the Chart.lock that it writes",
			dependency.Name, dependency.Version)
	}
	found, err := a.record.remote.chart(*dependency.sought)
	if err != nil {
		return nil, err
	}
	part := files.part(chartSource{name: found.url})
	if err := part.readFetched(found); err != nil {
		return nil, err
	}
	return part.load()
}

// isExactDependency reports whether a dependency can be fetched without a choice
// of versions. Registries take what is a version in a wider sense for a tag.
func isExactDependency(dependency *chart.Dependency) bool {
	if isOCI(dependency.Repository) {
		_, err := semver.NewVersion(dependency.Version)
		return err == nil
	}
	return isExact(dependency.Version)
}

// local loads the chart of a dependency by file://, as Helm's tarFromLocalDir
// packs it, but with its own dependencies.
func (a *dependencyAdder) local(dependency *soughtDependency, constraint *semver.Constraints, files *chartFiles) (*chart.Chart, error) {
	directory, err := a.localDirectory(dependency, files)
	if err != nil {
		return nil, err
	}
	trail := append(slices.Clip(a.trail), files.source.name)
	if slices.Contains(trail, directory) {
		return nil, dependency.sought.failuref("the dependency %s leads back to a chart that depends on it: %s", dependency.Name, strings.Join(append(trail, directory), " -> "))
	}
	part := files.part(chartSource{name: directory, directory: true})
	if err := part.readDirectory(a.record, directory); err != nil {
		return nil, err
	}
	if a.files += len(part.files); len(trail) > maxLocalDepth || a.files > maxTreeEntries {
		return nil, dependency.sought.failuref("charts name each other by file:// more than %d deep, or so often that they have more than %d files", maxLocalDepth, maxTreeEntries)
	}
	loaded, err := part.load()
	if err != nil {
		return nil, err
	}
	if loaded.Name() != dependency.Name {
		return nil, dependency.sought.failuref("the chart in %s is called %s, and the dependency %s", withoutCredentials(dependency.Repository), loaded.Name(), dependency.Name)
	}
	version, err := semver.NewVersion(loaded.Metadata.Version)
	if err != nil || !constraint.Check(version) {
		return nil, dependency.sought.failuref("can't get a valid version for dependency %s: %s has the version %s, and %s is wanted",
			dependency.Name, withoutCredentials(dependency.Repository), loaded.Metadata.Version, dependency.Version)
	}
	outer := a.trail
	a.trail = trail
	err = a.add(loaded, part)
	a.trail = outer
	if err != nil {
		return nil, err
	}
	return loaded, asPacked(loaded)
}

// localDirectory returns the directory of a dependency by file://.
func (a *dependencyAdder) localDirectory(dependency *soughtDependency, files *chartFiles) (string, error) {
	relative := strings.TrimPrefix(dependency.Repository, fileScheme)
	directory := path.Join(files.source.name, relative)
	if path.IsAbs(relative) || directory == ".." || strings.HasPrefix(directory, "../") {
		failure := dependency.sought.failuref("the repository %s of the dependency %s leaves the repository", withoutCredentials(dependency.Repository), dependency.Name)
		failure.Kind = KindOutside
		return "", failure
	}
	resolved, err := a.record.resolve(directory)
	if err != nil && !isAbsent(err) {
		return "", err
	}
	if err != nil || !a.record.isDirectory(resolved) {
		return "", dependency.sought.failuref("directory %s not found, where the dependency %s should be", withoutCredentials(directory), dependency.Name)
	}
	return resolved, nil
}

// asPacked makes of a chart what is left of it in an archive that Helm writes:
// of a chart of version 1, it drops the dependencies in Chart.yaml.
func asPacked(loaded *chart.Chart) error {
	for _, dependency := range loaded.Dependencies() {
		if err := asPacked(dependency); err != nil {
			return err
		}
	}
	if loaded.Metadata.APIVersion != chart.APIVersionV1 {
		return nil
	}
	loaded.Metadata.Dependencies = nil
	for _, file := range loaded.Files {
		if file.Name == "requirements.yaml" {
			if err := yaml.Unmarshal(file.Data, loaded.Metadata); err != nil {
				return fmt.Errorf("cannot load requirements.yaml: %w", err)
			}
		}
	}
	return nil
}

// readFetched reads the archive of a chart of a repository.
func (c *chartFiles) readFetched(found *foundChart) error {
	c.found = found
	return c.readArchive(found.data)
}

// check refuses an archive that holds another chart than the one that was sought.
func (f *foundChart) check(loaded *chart.Chart) error {
	if loaded.Name() != f.name {
		return failuref(KindChart, f.url, "the chart in the archive is called %s, and not %s", loaded.Name(), f.name)
	}
	has, err := semver.NewVersion(loaded.Metadata.Version)
	wants, wantsErr := semver.NewVersion(f.version)
	if err != nil || wantsErr != nil || !has.Equal(wants) {
		return failuref(KindChart, f.url, "the chart in the archive has the version %s, and not %s", loaded.Metadata.Version, f.version)
	}
	return nil
}

// withChart notes the chart that a failure is about.
func withChart(err error, name string) error {
	var failure *Failure
	if errors.As(err, &failure) && failure.Chart == "" {
		failure.Chart = name
	}
	return err
}
