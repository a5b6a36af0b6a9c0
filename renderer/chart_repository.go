package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// soughtChart is a chart of a repository, and where it is asked for.
type soughtChart struct {
	repository string // https://..., http://... or oci://...
	name       string
	version    string // a version or a constraint; "" is the newest release
	// kind is that of a failure; file, line and field are its place.
	kind  string
	file  string
	line  int
	field string
}

// foundChart is the archive of a chart.
type foundChart struct {
	url     string
	name    string
	version string // that it has to have; "" is any
	data    []byte
}

const ociScheme = "oci://"

func isOCI(address string) bool { return strings.HasPrefix(address, ociScheme) }

func (s *soughtChart) failuref(format string, arguments ...any) *Failure {
	failure := failuref(s.kind, s.file, format, arguments...)
	failure.Line = s.line
	if s.field != "" {
		failure.Message = s.field + ": " + failure.Message
	}
	return failure
}

func (s *soughtChart) want(kind, address string) Want {
	return Want{Remote: Remote{Kind: kind, URL: address}, File: s.file, Line: s.line, Field: s.field}
}

// String names the chart as Helm's errors do.
func (s *soughtChart) String() string {
	if s.version == "" {
		return fmt.Sprintf("chart %q", s.name)
	}
	return fmt.Sprintf("chart %q version %q", s.name, s.version)
}

// chart returns the archive of a chart, or errWanted.
func (f *fetched) chart(sought soughtChart) (*foundChart, error) {
	sought.version = strings.TrimSpace(sought.version)
	if sought.version != "" {
		if _, err := semver.NewConstraint(sought.version); err != nil {
			return nil, sought.failuref("%q is neither a version nor a constraint: %s", sought.version, err)
		}
	}
	if isOCI(sought.repository) {
		return f.chartOfRegistry(&sought)
	}
	return f.chartOfIndex(&sought)
}

// chartOfIndex does what Helm's FindChartInRepoURL does.
func (f *fetched) chartOfIndex(sought *soughtChart) (*foundChart, error) {
	parsed, err := url.Parse(sought.repository)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" {
		return nil, sought.failuref("%q is no chart repository: it has to start with https://, http:// or oci://", withoutCredentials(sought.repository))
	}
	address, err := resolveReference(sought.repository, "index.yaml")
	if err != nil {
		return nil, sought.failuref("%s", err)
	}
	index := sought.want(fetchIndex, address)
	index.Pinned = isExact(sought.version)
	answer, err := f.get(index)
	if err != nil {
		return nil, err
	}
	found, err := f.chartListed(sought, address, answer.content)
	if err != nil && !errors.Is(err, errWanted) && index.Pinned {
		// What is wrong in an index of any age, a newer one may have right.
		index.Pinned = false
		if _, wanted := f.get(index); wanted != nil {
			return nil, wanted
		}
	}
	return found, err
}

// chartListed returns the archive of a chart by an index and its URL, or errWanted.
func (f *fetched) chartListed(sought *soughtChart, address string, index []byte) (*foundChart, error) {
	versions, err := versionsIn(index, sought.name)
	if err != nil {
		return nil, sought.failuref("%s is not the index of a chart repository: %s", withoutCredentials(address), err)
	}
	version := versions.pick(sought)
	if version == nil {
		return nil, sought.failuref("%s not found in %s repository%s", sought, withoutCredentials(sought.repository), versions.nearby())
	}
	if len(version.URLs) == 0 {
		return nil, sought.failuref("%s has no downloadable URLs", sought)
	}
	archive, err := resolveReference(sought.repository, version.URLs[0])
	if err != nil {
		return nil, sought.failuref("failed to make chart URL absolute: %s", err)
	}
	want := sought.want(fetchArchive, archive)
	want.Index = address
	if isOCI(archive) {
		if want.URL, err = referenceOf(archive, version.Version); err != nil {
			return nil, sought.failuref("%s", err)
		}
	}
	if want.Digest, err = sha256Of(version.Digest); err != nil {
		return nil, sought.failuref("%s: %s", sought, err)
	}
	return f.archive(sought, want, version.Version)
}

// pick does what IndexFile.Get of Helm does: the very version, or else the newest
// that satisfies the constraint.
func (v indexVersions) pick(sought *soughtChart) *indexVersion {
	wanted := sought.version
	if wanted == "" {
		wanted = "*"
	}
	for _, version := range v {
		if version.Version == wanted {
			return version
		}
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return nil
	}
	for _, version := range v {
		if version.parsed == nil || !constraint.Check(version.parsed) {
			continue
		}
		if isExact(wanted) {
			slog.Warn("unable to find exact version requested; falling back to closest available version",
				"chart", sought.name, "requested", wanted, "selected", version.Version)
		}
		return version
	}
	return nil
}

// maxNearby is how many versions an error lists.
const maxNearby = 5

// nearby lists the newest versions, for an error.
func (v indexVersions) nearby() string {
	var names []string
	for _, version := range v[:min(len(v), maxNearby)] {
		names = append(names, version.Version)
	}
	return newest(names)
}

func newest(names []string) string {
	if len(names) == 0 {
		return "; it has no version of this chart"
	}
	return "; the newest versions are " + strings.Join(names[:min(len(names), maxNearby)], ", ")
}

// chartOfRegistry does what Helm's registry client does in ValidateReference.
func (f *fetched) chartOfRegistry(sought *soughtChart) (*foundChart, error) {
	address := strings.TrimSuffix(sought.repository, "/") + "/" + sought.name
	version := sought.version
	if _, err := semver.NewVersion(version); err != nil {
		if _, err := referenceOf(address, "latest"); err != nil {
			return nil, sought.failuref("%s", err)
		}
		answer, err := f.get(sought.want(fetchTags, address))
		if err != nil {
			return nil, err
		}
		tags := versionTags(string(answer.content))
		if version = pickTag(tags, version); version == "" {
			return nil, sought.failuref("could not locate a version matching provided version string %s: %s%s", sought.version, withoutCredentials(address), newest(tags))
		}
	}
	reference, err := referenceOf(address, version)
	if err != nil {
		return nil, sought.failuref("%s", err)
	}
	return f.archive(sought, sought.want(fetchArchive, reference), version)
}

// versionTags returns the tags that are versions, newest first, as Tags of Helm's
// registry client does.
func versionTags(list string) []string {
	var versions []*semver.Version
	for line := range strings.Lines(list) {
		if version, err := semver.StrictNewVersion(strings.ReplaceAll(strings.TrimSpace(line), "_", "+")); err == nil {
			versions = append(versions, version)
		}
	}
	sort.Sort(sort.Reverse(semver.Collection(versions)))
	tags := make([]string, len(versions))
	for i, version := range versions {
		tags[i] = version.String()
	}
	return tags
}

// pickTag does what Helm's GetTagMatchingVersionOrConstraint does.
func pickTag(tags []string, wanted string) string {
	if wanted == "" {
		wanted = "*"
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return ""
	}
	for _, tag := range tags {
		if version, err := semver.NewVersion(tag); err == nil && constraint.Check(version) {
			return tag
		}
	}
	return ""
}

// archive returns the archive of a chart, or errWanted. What a URL without a digest
// leads to may be replaced; registries have digests of their own.
func (f *fetched) archive(sought *soughtChart, want Want, version string) (*foundChart, error) {
	want.Pinned = want.Digest != "" || isOCI(want.URL)
	answer, err := f.get(want)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(answer.content); want.Digest != "" && hex.EncodeToString(sum[:]) != want.Digest {
		return nil, sought.failuref("%s has the digest %x, and %s says %s", withoutCredentials(want.URL), sum, withoutCredentials(want.Index), want.Digest)
	}
	return &foundChart{url: withoutCredentials(want.URL), name: sought.name[strings.LastIndexByte(sought.name, '/')+1:], version: version, data: answer.content}, nil
}

// isExact reports whether a version is one, and no constraint.
func isExact(version string) bool {
	_, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v"))
	return err == nil
}

// resolveReference is ResolveReferenceURL of Helm's package repo/v1.
func resolveReference(base, reference string) (string, error) {
	relative, err := url.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("%s is no URL", withoutCredentials(reference))
	}
	var address *url.URL
	if relative.IsAbs() {
		switch relative.Scheme {
		case "https", "http", "oci":
			return reference, nil
		}
		return "", fmt.Errorf("the index gives %s, and only https, http and oci are fetched", withoutCredentials(reference))
	}
	if address, err = url.Parse(base); err != nil {
		return "", fmt.Errorf("%s is no URL", withoutCredentials(base))
	}
	query := address.RawQuery
	address.RawPath = strings.TrimSuffix(address.RawPath, "/") + "/"
	address.Path = strings.TrimSuffix(address.Path, "/") + "/"
	resolved := address.ResolveReference(relative)
	resolved.RawQuery = query
	return resolved.String(), nil
}

// The grammar of references to registries, as in oras.land/oras-go/v2/registry.
var (
	ociAddress = regexp.MustCompile(`^oci://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+$`)
	ociTag     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// referenceOf returns the reference of a version in a registry. A tag that the
// address has already has to be that version.
func referenceOf(address, version string) (string, error) {
	tag := strings.ReplaceAll(version, "+", "_")
	if base, own, found := cutTag(address); found {
		if own = strings.ReplaceAll(own, "+", "_"); own != tag {
			return "", fmt.Errorf("chart reference and version mismatch: %s is not of version %s", withoutCredentials(address), version)
		}
		address = base
	}
	if !ociAddress.MatchString(address) || !ociTag.MatchString(tag) {
		return "", fmt.Errorf("invalid reference: %s:%s is none of a registry", withoutCredentials(address), tag)
	}
	return address + ":" + tag, nil
}

// cutTag cuts the tag off a reference, which has one after its last slash.
func cutTag(address string) (base, tag string, found bool) {
	slash := strings.LastIndexByte(address, '/')
	name, tag, found := strings.Cut(address[slash+1:], ":")
	return address[:slash+1] + name, tag, found
}

var errDigest = errors.New("the index gives a digest that is no SHA-256")

// sha256Of returns a digest of an index in hex, without its algorithm.
func sha256Of(digest string) (string, error) {
	if _, after, found := strings.Cut(digest, ":"); found {
		digest = after
	}
	if digest == "" {
		return "", nil
	}
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return "", errDigest
	}
	return strings.ToLower(digest), nil
}
