package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// served serves the chart tiny in several versions.
func served(t testing.TB, list ...string) *repository {
	archives := map[string]string{}
	for _, version := range list {
		archives["tiny-"+version+".tgz"] = tinyChart(t, "tiny", version, nil)
	}
	return serve(t, archives)
}

func TestAChartOfARepositoryRendersAsHelmTemplateDoes(t *testing.T) {
	served := served(t, "0.9.0", "1.0.0", "1.2.0-rc.1", "1.1.0+b", "1.1.0", "2.0.0-alpha.1", "1.10.0")
	for _, version := range []string{"", "1.0.0", "v1.0.0", "^1.0.0", "~1.1", "1.2.0-rc.1", ">=1.2.0-0 <1.5.0", "2.x-0", ">0.0.0-0", "1.1.0+b", "1", " 0.9.0 ", "<1.10.0"} {
		t.Run(version, func(t *testing.T) {
			files := snapshot{"values.yaml": "color: blue\n"}
			want, err := official(t, files.write(t), "helm", "template", "release-name", "tiny", "--repo", served.url, "--version", version, "-f", "values.yaml")
			if err != nil {
				t.Fatal(err)
			}
			response, wants := files.rendersFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny", "version": version, "valuesFiles": []string{"values.yaml"}}}, served.world())
			equal(t, want, asHelmPrints(response))
			if len(wants) != 2 || wants[0].Pinned != isExact(strings.TrimSpace(version)) || !wants[1].Pinned || wants[1].Index != served.url+"/index.yaml" || len(wants[1].Digest) != 64 || wants[0].File+wants[1].File != "" {
				t.Errorf("unexpected wants %+v", wants)
			}
			document := response.Documents[0]
			if document.File != wants[1].URL || document.Line != 0 || document.Source != "tiny/templates/cm.yaml" {
				t.Errorf("unexpected place %+v", document)
			}
			if !slices.Equal(response.Read, []string{"values.yaml"}) || len(response.Listed) > 0 {
				t.Errorf("what was fetched is none of the tree: %v", response.Read)
			}
		})
	}
}

func TestAChartThatIsNotInARepository(t *testing.T) {
	served := served(t, "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0-rc.1")
	request := func(chart, version string) map[string]any {
		return map[string]any{"helm": map[string]any{"repository": served.url, "chart": chart, "version": version}}
	}
	snapshot{}.failsFetching(t, request("tiny", "1.0.0"), served.world(), KindChart, "", `chart "tiny" version "1.0.0" not found in `+served.url+" repository", "0.6.0-rc.1, 0.5.0, 0.4.0, 0.3.0, 0.2.0")
	snapshot{}.failsFetching(t, request("tiny", ">1"), served.world(), KindChart, "", "not found")
	snapshot{}.failsFetching(t, request("huge", ""), served.world(), KindChart, "", `chart "huge" not found`, "no version of this chart")
	snapshot{}.failsFetching(t, request("tiny", "latest!"), served.world(), KindChart, "", `"latest!" is neither a version nor a constraint`)
	snapshot{}.failsFetching(t, request("", ""), world{}, KindSettings, "", "helm.chart")
	snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": "ftp://x", "chart": "tiny"}}, world{}, KindChart, "", "no chart repository")
	snapshot{}.failsFetching(t, map[string]any{"path": ".", "renderer": "helm", "helm": map[string]any{"version": "1.0.0"}}, world{}, KindSettings, "", "helm.version")
}

func TestIndexesInManyForms(t *testing.T) {
	item := "- {name: tiny, version: 1.0.0, urls: [%s]}"
	for name, test := range map[string]struct{ index, url string }{
		"flow":            {"{apiVersion: v1, entries: {tiny: [{name: tiny, version: 1.0.0, urls: [a.tgz]}]}}", "https://h.example/c/a.tgz"},
		"JSON":            {`{"apiVersion":"v1","entries":{"tiny":[{"name":"tiny","version":"1.0.0","urls":["a.tgz"]}]}}`, "https://h.example/c/a.tgz"},
		"not indented":    {"apiVersion: v1\nentries:\n  other:\n  " + fmt.Sprintf(item, "b.tgz") + "\n  tiny:\n  " + fmt.Sprintf(item, "a.tgz") + "\n", "https://h.example/c/a.tgz"},
		"indented":        {"entries:\n    \"tiny\":\n        # a comment\n        " + fmt.Sprintf(item, "/a.tgz") + "\napiVersion: v1\n", "https://h.example/a.tgz"},
		"list on its key": {"apiVersion: v1\nentries:\n  tiny: [{name: tiny, version: 1.0.0, urls: [../a.tgz]}]\n", "https://h.example/a.tgz"},
		"aliases":         {"apiVersion: v1\nentries:\n  other:\n  - &x {name: tiny, version: 1.0.0, urls: [a.tgz]}\n  tiny:\n  - *x\n", "https://h.example/c/a.tgz"},
		"Windows":         {"apiVersion: v1\r\nentries:\r\n  'tiny':\r\n  - name: tiny\r\n    version: 1.0.0\r\n    urls:\r\n    - https://other.example/a.tgz?x=y\r\n", "https://other.example/a.tgz?x=y"},
		"invalid entries": {"apiVersion: v1\nentries:\n  tiny:\n  - null\n  - {name: tiny, version: 2.x.y, urls: [b.tgz]}\n  - {name: ../tiny, version: 3.0.0, urls: [b.tgz]}\n  " + fmt.Sprintf(item, "a.tgz") + "\n", "https://h.example/c/a.tgz"},
		"registry":        {"apiVersion: v1\nentries:\n  tiny:\n  - {name: tiny, version: 1.0.0, urls: ['oci://r.example/charts/tiny:1.0.0']}\n", "oci://r.example/charts/tiny:1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			response := snapshot{}.render(t, map[string]any{"helm": map[string]any{"repository": "https://h.example/c/", "chart": "tiny"},
				"fetched": []answer{{Kind: fetchIndex, URL: "https://h.example/c/index.yaml", content: test.index}}})
			if response.Error != nil || len(response.Wants) != 1 || response.Wants[0].URL != test.url {
				t.Fatalf("want %s, got %+v, %+v", test.url, response.Error, response.Wants)
			}
		})
	}
}

func TestBrokenIndexesAreErrors(t *testing.T) {
	entry := "apiVersion: v1\nentries:\n  tiny:\n  - {name: tiny, version: 1.0.0, %s}\n"
	for name, test := range map[string]struct{ index, word string }{
		"a page":         {"<!DOCTYPE html>\n<html><body>404: not here\t{{\n</body></html>\n", "is not the index of a chart repository"},
		"nothing":        {"", "empty index.yaml"},
		"no version":     {"entries:\n  tiny:\n  - {name: tiny, version: 1.0.0}\n", "no API version"},
		"a broken entry": {"apiVersion: v1\nentries:\n  tiny:\n  - {name: tiny, version: [\n", "is not the index of a chart repository"},
		"no URL":         {fmt.Sprintf(entry, "urls: []"), "no downloadable URLs"},
		"a file":         {fmt.Sprintf(entry, "urls: ['file:///etc/passwd']"), "only https, http and oci"},
		"no digest":      {fmt.Sprintf(entry, "digest: abc, urls: [a.tgz]"), "no SHA-256"},
		"no semver":      {"apiVersion: v1\nentries:\n  tiny:\n  - {name: tiny, version: newest, urls: [a.tgz]}\n", "no version of this chart"},
		"wrong tag":      {fmt.Sprintf(entry, "urls: ['oci://r.example/tiny:2.0.0']"), "mismatch"},
		"no reference":   {fmt.Sprintf(entry, "urls: ['oci://r.example/../tiny']"), "invalid reference"},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": "https://u:hunter2@h.example", "chart": "tiny"}},
				world{"https://u:hunter2@h.example/index.yaml": {content: test.index}}, KindChart, "", test.word)
		})
	}
}

func TestAHugeIndexIsReadInTime(t *testing.T) {
	var index strings.Builder
	index.WriteString("apiVersion: v1\nentries:\n")
	for chart := range 20 {
		fmt.Fprintf(&index, "  chart%d:\n", chart)
		for version := range 2000 {
			fmt.Fprintf(&index, "  - annotations:\n      images: |\n%s    apiVersion: v2\n    name: chart%d\n    urls:\n    - c.tgz\n    version: 1.%d.0\n", strings.Repeat("        - name: some text that nobody reads\n", 12), chart, version)
		}
	}
	begin := time.Now()
	response := snapshot{}.render(t, map[string]any{"helm": map[string]any{"repository": "https://h.example", "chart": "chart7", "version": "~1.1234"},
		"fetched": []answer{{Kind: fetchIndex, URL: "https://h.example/index.yaml", content: index.String()}}})
	if len(response.Wants) != 1 || response.Wants[0].URL != "https://h.example/c.tgz" {
		t.Fatalf("unexpected answer %+v %+v", response.Error, response.Wants)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("an index of %d MB took %s", index.Len()>>20, took)
	}
}

func TestAChartOfARegistry(t *testing.T) {
	archive := tinyChart(t, "tiny", "1.2.0+b.1", nil)
	from := world{
		"oci://r.example:5000/charts/tiny":           {content: "latest\n1.0.0\n1.2.0_b.1\n1.3.0-rc.1\nv9.0.0\nsha256-abc.sig\n"},
		"oci://r.example:5000/charts/tiny:1.2.0_b.1": {content: archive},
	}
	request := func(version string) map[string]any {
		return map[string]any{"helm": map[string]any{"repository": "oci://r.example:5000/charts", "chart": "tiny", "version": version}}
	}
	want, err := official(t, snapshot{"tiny.tgz": archive}.write(t), "helm", "template", "release-name", "tiny.tgz")
	if err != nil {
		t.Fatal(err)
	}
	for version, rounds := range map[string]int{"": 2, "^1.0.0": 2, "1.2.0+b.1": 1} {
		response, wants := snapshot{}.rendersFetching(t, request(version), from)
		equal(t, want, asHelmPrints(response))
		if len(wants) != rounds || wants[len(wants)-1].Index != "" || !wants[len(wants)-1].Pinned {
			t.Errorf("%q: unexpected wants %+v", version, wants)
		}
	}
	snapshot{}.failsFetching(t, request("^2"), from, KindChart, "", "could not locate a version matching provided version string ^2", "1.3.0-rc.1, 1.2.0+b.1, 1.0.0")
	for _, chart := range []string{"../tiny", "Tiny", "tiny:1", "a@sha256", "a//b"} {
		snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": "oci://r.example", "chart": chart, "version": "1.0.0"}}, from, KindChart, "")
	}
}

func TestArchivesThatAreNotTheChart(t *testing.T) {
	served := served(t, "1.0.0")
	url := served.url + "/tiny-1.0.0.tgz"
	for name, test := range map[string]struct{ archive, word string }{
		"another name":    {tinyChart(t, "other", "1.0.0", nil), "is called other, and not tiny"},
		"another version": {tinyChart(t, "tiny", "1.0.1", nil), "has the version 1.0.1, and not 1.0.0"},
		"no archive":      {"<html>", "cannot be read"},
		"outside":         {packed(t, snapshot{"x/../../Chart.yaml": "a"}, "x"), "illegally"},
		"no chart":        {packed(t, snapshot{"x/README.md": "a"}, "x"), "Chart.yaml file is missing"},
		"a bomb":          {packed(t, snapshot{"tiny/big": strings.Repeat("\x00", 101<<20)}, "tiny"), "larger than the maximum size"},
		"a broken chart":  {tinyChart(t, "tiny", "1.0.0", snapshot{"values.yaml": "a: b: c\n"}), "values.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			served.archives["tiny-1.0.0.tgz"], served.index = test.archive, indexOf(map[string]string{"tiny-1.0.0.tgz": test.archive})
			failure := snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny", "version": "1.0.0"}}, served.world(), KindChart, url, test.word).Error
			if failure.Line != 0 {
				t.Errorf("a line of an archive: %+v", failure)
			}
		})
	}
	t.Run("a failing template", func(t *testing.T) {
		archive := tinyChart(t, "tiny", "1.0.0", snapshot{"templates/bad.yaml": "{{ fail \"on purpose\" }}\n"})
		served.archives["tiny-1.0.0.tgz"], served.index = archive, indexOf(map[string]string{"tiny-1.0.0.tgz": archive})
		snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny"}}, served.world(), KindTemplate, url, "on purpose")
	})
	t.Run("digest", func(t *testing.T) {
		from := served.world()
		from[url] = answer{content: "x"}
		snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny"}}, from, KindChart, "", "has the digest")
	})
	t.Run("missing dependencies", func(t *testing.T) {
		archive := tinyChart(t, "tiny", "1.0.0", snapshot{"Chart.yaml": "apiVersion: v2\nname: tiny\nversion: 1.0.0\ndependencies: [{name: a, version: 1.0.0, repository: 'https://a.example'}]\n"})
		served.archives["tiny-1.0.0.tgz"], served.index = archive, indexOf(map[string]string{"tiny-1.0.0.tgz": archive})
		snapshot{}.failsFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny"}}, served.world(), KindDependency, url, "missing in charts/")
	})
}

func TestAnIndexOfAnyAgeThatIsWrongIsWantedAnew(t *testing.T) {
	served := served(t, "1.0.0")
	index, archive := served.url+"/index.yaml", served.url+"/tiny-1.0.0.tgz"
	request := func(version string) map[string]any {
		return map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny", "version": version}}
	}
	for name, before := range map[string]string{
		"without the version":  indexOf(map[string]string{"tiny-0.9.0.tgz": "x"}),
		"with another digest":  indexOf(map[string]string{"tiny-1.0.0.tgz": "as it was"}),
		"without a URL":        strings.ReplaceAll(served.index, "    - tiny-1.0.0.tgz\n", ""),
		"that is no index":     "<html>",
		"with a broken digest": regexp.MustCompile("digest: .*").ReplaceAllString(served.index, "digest: abc"),
	} {
		t.Run(name, func(t *testing.T) {
			from := served.world()
			from[index+aged] = answer{content: before}
			_, wants := snapshot{}.rendersFetching(t, request("1.0.0"), from)
			var indexes []bool
			for _, want := range wants {
				if want.URL == index {
					indexes = append(indexes, want.Pinned)
				}
			}
			if !slices.Equal(indexes, []bool{true, false}) {
				t.Errorf("want the index of any age and then a new one, got %+v", wants)
			}
			// A new one that is as wrong is an error, and so is one that had to be new.
			from[index] = answer{content: before}
			snapshot{}.failsFetching(t, request("1.0.0"), from, KindChart, "")
			snapshot{}.failsFetching(t, request("~1.0.0"), from, KindChart, "")
		})
	}
	from := served.world()
	from[archive] = answer{content: "tampered with"}
	snapshot{}.failsFetching(t, request("1.0.0"), from, KindChart, "", "has the digest")
}

func TestARangeIsNotResolvedFromAnIndexOfAnyAge(t *testing.T) {
	served := served(t, "1.0.0", "1.1.0")
	const pinned = "0123456789012345678901234567890123456789"
	files := snapshot{"kustomization.yaml": "resources: ['" + upstream + "//web?ref=" + pinned + "']\nhelmCharts: [{name: tiny, repo: '" + served.url + "', version: 1.0.0, releaseName: a}]\n"}
	from := served.world()
	from[served.url+"/index.yaml"+aged] = answer{content: indexOf(map[string]string{"tiny-1.0.0.tgz": served.archives["tiny-1.0.0.tgz"]})}
	from[upstream+"@"+pinned] = answer{tree: snapshot{"web/kustomization.yaml": "helmCharts: [{name: tiny, repo: '" + served.url + "', version: '>=1.0.0 <2', releaseName: b}]\n"}}
	response, wants := files.rendersFetching(t, inflating("."), from)
	all := strings.Join(textsOf(response), "")
	if !strings.Contains(all, "tiny 1.0.0") || !strings.Contains(all, "tiny 1.1.0") {
		t.Errorf("want the newest version of the range, got %s", all)
	}
	var indexes []bool
	for _, want := range wants {
		if want.Kind == fetchIndex {
			indexes = append(indexes, want.Pinned)
		}
	}
	if !slices.Equal(indexes, []bool{true, false}) {
		t.Errorf("want the index once more for the range, got %+v", wants)
	}
}

func TestAnArchiveWithoutADigestMayBeReplaced(t *testing.T) {
	served := served(t, "1.0.0")
	served.index = regexp.MustCompile(" *digest: .*\n").ReplaceAllString(served.index, "")
	_, wants := snapshot{}.rendersFetching(t, map[string]any{"helm": map[string]any{"repository": served.url, "chart": "tiny", "version": "1.0.0"}}, served.world())
	if len(wants) != 2 || wants[1].Digest != "" || wants[1].Pinned {
		t.Errorf("want an archive that is compared with its source, got %+v", wants)
	}
}
