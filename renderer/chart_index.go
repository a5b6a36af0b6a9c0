package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"
)

// The index of a chart repository is read as by loadIndex of Helm's package
// repo/v1, which is not used itself: it comes with Helm's clients for HTTP and
// registries. Helm also reads all of an index, and some have 20 MB: here only
// what the index says of one chart is parsed.

// indexVersion is a version of a chart in an index.
type indexVersion struct {
	*chart.Metadata
	URLs   []string `json:"urls"`
	Digest string   `json:"digest"`

	parsed *semver.Version // nil where it is none
}

// indexVersions sorts as Helm's ChartVersions do.
type indexVersions []*indexVersion

func (v indexVersions) Len() int      { return len(v) }
func (v indexVersions) Swap(i, j int) { v[i], v[j] = v[j], v[i] }
func (v indexVersions) Less(i, j int) bool {
	if v[i].parsed == nil {
		return true
	}
	return v[j].parsed != nil && v[i].parsed.LessThan(v[j].parsed)
}

// maxIndexBytes bounds an index that has to be parsed as a whole, since its form
// is not the one that tools write.
const maxIndexBytes = 32 << 20

// versionsIn returns the versions of a chart that an index has, newest first.
// There are none where it does not have the chart.
func versionsIn(index []byte, name string) (indexVersions, error) {
	if len(index) == 0 {
		return nil, errors.New("empty index.yaml file")
	}
	listed, err := listedVersions(index, name)
	if err != nil {
		return nil, err
	}
	var versions indexVersions
	for _, version := range listed {
		if version == nil {
			continue
		}
		if version.Metadata == nil {
			version.Metadata = &chart.Metadata{}
		}
		if version.APIVersion == "" {
			version.APIVersion = chart.APIVersionV1
		}
		if err := version.Validate(); err != nil && !isSkippable(err) {
			continue
		}
		version.parsed, _ = semver.NewVersion(version.Version)
		versions = append(versions, version)
	}
	sort.Sort(sort.Reverse(versions))
	return versions, nil
}

// isSkippable is Helm's ignoreSkippableChartValidationError: indexes of
// Artifactory have no aliases of dependencies.
func isSkippable(err error) bool {
	var invalid chart.ValidationError
	return errors.As(err, &invalid) && strings.HasPrefix(invalid.Error(), "validation: more than one dependency with name or alias")
}

// listedVersions returns what the index lists of a chart, in its order.
func listedVersions(index []byte, name string) ([]*indexVersion, error) {
	if json.Valid(index) {
		return fromJSON(index, name)
	}
	if blocks, found := blocksOf(index, name); found {
		var versions []*indexVersion
		for _, block := range blocks {
			var part []*indexVersion
			// An alias may refer to another part of the index.
			if err := yaml.Unmarshal(block, &part); err != nil {
				versions = nil
				break
			}
			versions = append(versions, part...)
		}
		if versions != nil || len(blocks) == 0 {
			return versions, nil
		}
	}
	if len(index) > maxIndexBytes {
		return nil, fmt.Errorf("it is not written as Helm writes an index, and then at most %d MiB are read", maxIndexBytes>>20)
	}
	return fromYAML(index, name)
}

var errNoAPIVersion = errors.New("no API version specified")

func fromJSON(index []byte, name string) (versions []*indexVersion, err error) {
	var file struct {
		APIVersion string                     `json:"apiVersion"`
		Entries    map[string]json.RawMessage `json:"entries"`
	}
	if err := json.Unmarshal(index, &file); err != nil {
		return nil, err
	}
	if file.APIVersion == "" {
		return nil, errNoAPIVersion
	}
	if entry, found := file.Entries[name]; found {
		err = json.Unmarshal(entry, &versions)
	}
	return versions, err
}

// fromYAML parses all of an index into its types: without them, a version such as
// 1.0 would be a number.
func fromYAML(index []byte, name string) ([]*indexVersion, error) {
	var file struct {
		APIVersion string                     `json:"apiVersion"`
		Entries    map[string][]*indexVersion `json:"entries"`
	}
	if err := yaml.Unmarshal(index, &file); err != nil {
		return nil, err
	}
	if file.APIVersion == "" {
		return nil, errNoAPIVersion
	}
	return file.Entries[name], nil
}

// blocksOf cuts what is said of a chart out of an index in block style, which is
// how all tools write it: one list of a single item for each version. found is
// false where the index is written otherwise.
func blocksOf(index []byte, name string) (blocks [][]byte, found bool) {
	const outside, inEntries, inChart = 0, 1, 2
	state, hasVersion, hasEntries := outside, false, false
	keys, items, start := 0, -1, -1 // the columns of keys and items, and where an item starts
	flush := func(end int) {
		if start >= 0 {
			blocks = append(blocks, index[start:end])
		}
		start = -1
	}
	for offset := 0; offset < len(index); {
		end := len(index)
		if newline := bytes.IndexByte(index[offset:], '\n'); newline >= 0 {
			end = offset + newline + 1
		}
		line := index[offset:end]
		text := bytes.TrimLeft(line, " ")
		column := len(line) - len(text)
		text = bytes.TrimRight(text, " \r\n")
		switch isItem := isListItem(text); {
		case len(text) == 0 || text[0] == '#':
		case column == 0:
			flush(offset)
			key, value := indexKey(text)
			hasVersion = hasVersion || key == "apiVersion" && value != ""
			state = outside
			if key == "entries" {
				if value != "" || hasEntries {
					return nil, false
				}
				state, keys, hasEntries = inEntries, 0, true
			}
		case state == outside:
		case keys == 0 || column < keys || column == keys && !isItem:
			flush(offset)
			if keys == 0 {
				keys = column
			}
			if column != keys || isItem {
				return nil, false
			}
			key, value := indexKey(text)
			if key == "" {
				return nil, false
			}
			state = inEntries
			if key == name {
				if value != "" || items >= 0 {
					return nil, false
				}
				state, items = inChart, 0
			}
		case state == inChart && isItem && (items == 0 || column == items):
			flush(offset)
			items, start = max(column, 1), offset
		case state == inChart && (items == 0 || column < items):
			return nil, false
		}
		offset = end
	}
	flush(len(index))
	return blocks, hasVersion && hasEntries
}

func isListItem(text []byte) bool {
	return bytes.HasPrefix(text, []byte("- ")) || string(text) == "-"
}

// indexKey returns the key and value of a line in block style, or nothing where
// it is written in another way.
func indexKey(text []byte) (key, value string) {
	key, value, found := strings.Cut(string(text), ":")
	if !found || value != "" && value[0] != ' ' {
		return "", ""
	}
	if quote := key[:min(1, len(key))]; quote == `"` || quote == "'" {
		key = strings.TrimSuffix(key[1:], quote)
	}
	if strings.ContainsAny(key, `"'\ &*{}[]?`) {
		return "", ""
	}
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "#") {
		value = ""
	}
	return key, value
}
