package main

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/ignore"
)

// chartFiles are the files of a chart as Helm's loader takes them, and where in
// the tree each of them is.
type chartFiles struct {
	source chartSource
	files  []*archive.BufferedFile
	// found is the chart of a repository that the files have to be.
	found *foundChart
	// origins are keyed by the first byte of the content, since the loader
	// passes contents on and gives names anew. Empty files have none.
	origins map[*byte]chartOrigin
	// unpacked is what the archives of dependencies hold, all together.
	unpacked *unpackedSize
}

type unpackedSize struct {
	bytes, files int
}

func newChartFiles(source chartSource) *chartFiles {
	return &chartFiles{source: source, origins: map[*byte]chartOrigin{}, unpacked: &unpackedSize{}}
}

// part returns the files of a dependency, which are counted with those of c.
func (c *chartFiles) part(source chartSource) *chartFiles {
	return &chartFiles{source: source, origins: c.origins, unpacked: c.unpacked}
}

// chartOrigin is a file in the tree; inside says where in it, for an archive.
type chartOrigin struct {
	file   string
	inside string
}

var utf8BOM = []byte{0xEF, 0xBB, 0xBF}

func (c *chartFiles) add(name string, data []byte, origin chartOrigin) {
	data = bytes.TrimPrefix(data, utf8BOM)
	if len(data) > 0 {
		c.origins[&data[0]] = origin
	}
	c.files = append(c.files, &archive.BufferedFile{Name: name, Data: data})
}

// originOf returns where a content is in the tree.
func (c *chartFiles) originOf(data []byte) (chartOrigin, bool) {
	if len(data) == 0 {
		return chartOrigin{}, false
	}
	origin, found := c.origins[&data[0]]
	return origin, found
}

// chartFilesIn reads a chart, which is a directory or an archive.
func chartFilesIn(record *Record, name string) (*chartFiles, error) {
	chart := newChartFiles(chartSource{name: name, directory: record.isDirectory(name)})
	if chart.source.directory {
		return chart, chart.readDirectory(record, name)
	}
	if !record.isFile(name) {
		return nil, missingPath(record, name, "the chart is not in the repository")
	}
	data, err := record.file(name)
	if err != nil {
		return nil, err
	}
	return chart, chart.readArchive(data)
}

// readDirectory reads the files below a directory but for those that .helmignore
// names, in the order of Helm's loader: by name, directory for directory.
func (c *chartFiles) readDirectory(record *Record, root string) error {
	rules, err := ignoreRules(record, root)
	if err != nil {
		return err
	}
	stack := []string{""}
	for visited := 0; len(stack) > 0; visited++ {
		relative := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		name := path.Join(root, relative)
		if visited > maxTreeEntries {
			return failuref(KindLimit, root, "symbolic links multiply the chart to more than %d files", maxTreeEntries)
		}
		resolved, err := record.resolve(name)
		if err != nil {
			if isAbsent(err) {
				return failuref(KindSymlink, name, "the symbolic link leads to nothing")
			}
			return err
		}
		directory := record.isDirectory(resolved)
		if relative != "" && rules.Ignore(relative, entryInfo{name: path.Base(relative), directory: directory}) {
			continue
		}
		if !directory {
			data, err := record.file(name)
			if err != nil {
				return err
			}
			c.add(relative, data, chartOrigin{file: name})
			continue
		}
		children, err := record.list(name)
		if err != nil {
			return err
		}
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, path.Join(relative, children[i]))
		}
	}
	return c.unpack()
}

// ignoreRules returns the rules of .helmignore.
func ignoreRules(record *Record, root string) (*ignore.Rules, error) {
	rules := ignore.Empty()
	file := path.Join(root, ignore.HelmIgnore)
	data, err := record.file(file)
	if err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, failuref(KindChart, file, "%s", err)
		}
	} else if !isAbsent(err) {
		return nil, err
	}
	rules.AddDefaults()
	return rules, nil
}

// entryInfo is what the rules of .helmignore want to know of a file.
type entryInfo struct {
	name      string
	directory bool
}

func (e entryInfo) Name() string       { return e.name }
func (e entryInfo) Size() int64        { return 0 }
func (e entryInfo) ModTime() time.Time { return time.Time{} }
func (e entryInfo) IsDir() bool        { return e.directory }
func (e entryInfo) Sys() any           { return nil }
func (e entryInfo) Mode() fs.FileMode {
	if e.directory {
		return fs.ModeDir
	}
	return 0
}

// readArchive reads a chart that is packed.
func (c *chartFiles) readArchive(data []byte) error {
	files, err := archive.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return failuref(KindChart, c.source.name, "the archive of the chart cannot be read: %s", err)
	}
	for _, file := range files {
		c.add(file.Name, file.Data, chartOrigin{file: c.source.name, inside: file.Name})
	}
	return c.unpack()
}

// maxUnpackedBytes bounds the archives of all dependencies together; Helm bounds
// each of them.
const maxUnpackedBytes = 256 << 20

// unpacked marks a directory that was an archive: the loader would unpack one
// by itself, but then the files in it would have no origin.
const unpacked = ".unpacked"

// unpack replaces the archives in charts/ by the directories they hold, also
// those inside of other archives.
func (c *chartFiles) unpack() error {
	var files []*archive.BufferedFile
	next := c.files
	for len(next) > 0 {
		file := next[0]
		next = next[1:]
		if !isDependencyArchive(file.Name) {
			files = append(files, file)
			continue
		}
		origin, _ := c.originOf(file.Data)
		inner, err := archive.LoadArchiveFiles(bytes.NewReader(file.Data))
		if err != nil {
			return failuref(KindChart, origin.file, "the archive of the dependency %s cannot be read: %s", path.Base(file.Name), err)
		}
		var members []*archive.BufferedFile
		for _, member := range inner {
			if c.unpacked.bytes += len(member.Data); c.unpacked.bytes > maxUnpackedBytes {
				return failuref(KindLimit, origin.file, "the archives of the dependencies unpack to more than %d MiB", maxUnpackedBytes>>20)
			}
			if c.unpacked.files++; c.unpacked.files > maxTreeEntries {
				return failuref(KindLimit, origin.file, "the archives of the dependencies unpack to more than %d files", maxTreeEntries)
			}
			if len(member.Data) > 0 {
				c.origins[&member.Data[0]] = chartOrigin{file: origin.file, inside: path.Join(origin.inside, member.Name)}
			}
			members = append(members, &archive.BufferedFile{Name: path.Join(file.Name+unpacked, member.Name), Data: member.Data})
		}
		next = append(members, next...)
	}
	c.files = files
	return nil
}

// isDependencyArchive reports whether the loader takes a file for a packed
// dependency: charts/x.tgz, at the top or in a dependency.
func isDependencyArchive(name string) bool {
	directory, base := path.Split(name)
	return path.Ext(base) == ".tgz" && !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "_") &&
		(directory == "charts/" || strings.HasSuffix(directory, "/charts/")) && inDependencies(directory)
}

// inDependencies reports whether a directory is made of charts/NAME pairs, with
// charts/ at the end.
func inDependencies(directory string) bool {
	parts := strings.Split(strings.TrimSuffix(directory, "/"), "/")
	for i, part := range parts {
		if i%2 == 0 && part != "charts" {
			return false
		}
	}
	return len(parts)%2 == 1
}
