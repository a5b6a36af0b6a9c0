package main

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"
)

// randomChart is a chart of some templates.
func randomChart(templates map[string]string) snapshot {
	files := snapshot{"Chart.yaml": "apiVersion: v2\nname: dice\nversion: 0.1.0\n", "values.yaml": "secret: {}\nmembers: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6}\n"}
	for name, text := range templates {
		files["templates/"+name] = text
	}
	return files
}

// valued is a document that shows a template's value.
func valued(name, expression string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {value: {{ " + expression + " | toString | quote }}}\n"
}

func TestWhatIsRandomDiffersInTheSecondRender(t *testing.T) {
	expressions := []string{
		"randAlphaNum 5", "randAlpha 1", "randNumeric 1", "randAscii 1", "randInt 0 2", `shuffle "ab"`, "randBytes 1", "uuidv4", `genPrivateKey "ed25519"`,
		`genPrivateKey "rsa"`, `(genSelfSignedCert "a" nil nil 1).Cert`, `(genSelfSignedCert "a" nil nil 1).Key`,
		`(genCA "a" 1).Cert`, `(genCA "a" 1).Key`, `(genSignedCert "a" nil nil 1 (genCA "b" 1)).Cert`, `(genSignedCert "a" nil nil 1 (genCA "b" 1)).Key`,
		`(buildCustomCert (b64enc (genCA "a" 1).Cert) (b64enc (genCA "a" 1).Key)).Cert`, `htpasswd "a" "b"`, `bcrypt "a"`, `encryptAES "secret" "text"`,
		"now", "now.Year", "now.Second", "now.Minute", "now.Hour", "now.Day", "now.YearDay", "now.Unix", `now | date "2006"`, `now | date "01-02"`, `now | date "15"`,
		`now | date "04"`, `now | date "05"`, `now | unixEpoch`, "now | htmlDate", `date "2006-01-02" ""`, `dateInZone "2006" nil "UTC"`, `htmlDateInZone "" "UTC"`, `htmlDate ""`,
		`now | dateModify "-24h" | date "2006-01-02"`, `toDate "2006-01-02" "2020-01-01" | ago`, "ago 1700000000", `durationRound (toDate "2006-01-02" "2026-01-01")`,
		`tpl "{{ now }}" .`, `tpl "{{ randInt 0 2 }}" .`,
	}
	templates := map[string]string{"steady.yaml": valued("steady", "keys .Values.members") + "---\n" + valued("values", "values .Values.members") +
		"---\n" + valued("one", `randInt 1 2`) + "---\n" + valued("sum", `sha256sum "a"`) + "---\n" + valued("then", `date "2006" 1700000000`)}
	for i, expression := range expressions {
		templates[fmt.Sprintf("t%02d.yaml", i)] = valued(fmt.Sprintf("t%02d", i), expression)
	}
	templates["hook.yaml"] = "apiVersion: v1\nkind: Pod\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\nspec: {x: {{ randAlphaNum 9 }}}\n"
	response := randomChart(templates).renders(t, map[string]any{"path": ".", "twice": true})
	if response.AgainError != "" {
		t.Fatal(response.AgainError)
	}
	differ := map[string]bool{}
	for _, again := range response.Again {
		document := Document{}
		if again.Hook {
			document = response.Hooks[again.Index].Document
		} else {
			document = response.Documents[again.Index]
		}
		if document.YAML == again.YAML {
			t.Errorf("%s does not differ", document.Source)
		}
		differ[document.Source] = true
	}
	for i, expression := range expressions {
		if !differ[fmt.Sprintf("dice/templates/t%02d.yaml", i)] {
			t.Errorf("%s was not found", expression)
		}
	}
	if !differ["dice/templates/hook.yaml"] {
		t.Error("the hook was not found")
	}
	if differ["dice/templates/steady.yaml"] {
		t.Error("what is not random was taken for random")
	}
}

func TestBothRendersBeginWithTheSameValues(t *testing.T) {
	files := randomChart(map[string]string{
		"a.yaml": `{{- if not .Values.secret.password }}{{ $_ := set .Values.secret "password" (randAlphaNum 5) }}{{ end }}` + "\n" + valued("a", ".Values.secret.password"),
		"b.yaml": `{{- $_ := set .Values.fromRequest "n" (add1 (.Values.fromRequest.n | default 0)) }}` + "\n" + valued("b", ".Values.fromRequest.n"),
		"c.yaml": `{{- $_ := set .Chart "Annotations" "x" }}` + "\n" + valued("c", "len .Values.members"),
		"d.yaml": `{{- $_ := unset .Values.members "a" }}` + "\n" + valued("d", "len .Values.members"),
	})
	response := files.renders(t, map[string]any{"path": ".", "twice": true, "helm": map[string]any{"values": map[string]any{"fromRequest": map[string]any{}}}})
	if response.AgainError != "" || len(response.Again) != 1 || response.Documents[response.Again[0].Index].Source != "dice/templates/a.yaml" {
		t.Errorf("want the password alone to differ, got %+v, error %q", response.Again, response.AgainError)
	}
}

func TestRendersThatCannotBeComparedNameTheTemplate(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		word string
	}{
		"name":   {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x-{{ randAlpha 8 | lower }}}\n", "name is random"},
		"number": {"{{ if lt now.Year NEXT }}\n" + valued("y", "1") + "\n{{ end }}", "another number of documents"},
		"fails":  {"{{ if ge now.Year NEXT }}{{ fail \"too late\" }}{{ end }}", "the second render failed: "},
		"hooks":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {helm.sh/hook: {{ if lt now.Year NEXT }}pre-install{{ else }}nothing{{ end }}}}\n", "another number of hooks"},
		"kind":   {"apiVersion: v1\nkind: {{ if lt now.Year NEXT }}ConfigMap{{ else }}Secret{{ end }}\nmetadata: {name: a}\n", "dice/templates/"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(test.text, "NEXT", strconv.Itoa(time.Now().Year()+1))
			response := randomChart(map[string]string{"a.yaml": valued("a", "randAlpha 8"), "b.yaml": text}).renders(t, map[string]any{"path": ".", "twice": true})
			if !strings.Contains(response.AgainError, test.word) || !strings.Contains(response.AgainError, "templates/b.yaml") && name != "kind" || len(response.Again) > 0 {
				t.Errorf("want %q and the template, got %q with %+v", test.word, response.AgainError, response.Again)
			}
			if len(response.Documents)+len(response.Hooks) == 0 {
				t.Error("the first render is lost")
			}
		})
	}
}

func TestTheSecondRenderGoesThroughPost(t *testing.T) {
	files := randomChart(map[string]string{"a.yaml": valued("a", "randAlpha 8")})
	response := files.renders(t, map[string]any{"path": ".", "twice": true, "post": map[string]any{"namePrefix": "x-", "labels": map[string]any{"a": "b"}}})
	if len(response.Again) != 1 || !strings.Contains(response.Again[0].YAML, "name: x-a") || !strings.Contains(response.Again[0].YAML, "labels: {a: b}") {
		t.Errorf("want it with prefix and label, got %+v", response.Again)
	}
	files = randomChart(map[string]string{"a.yaml": valued("a", "randAlpha 8")})
	response = files.renders(t, map[string]any{"path": ".", "twice": true, "post": map[string]any{"patches": []map[string]any{
		{"name": "p", "patch": "- {op: replace, path: /data/value, value: fixed}", "target": map[string]any{"kind": "ConfigMap"}}}}})
	if len(response.Again) != 0 {
		t.Errorf("want nothing random behind the patch, got %+v", response.Again)
	}
}

func TestTwiceIsForChartsAlone(t *testing.T) {
	if response := app.renders(t, map[string]any{"path": "app", "twice": true}); len(response.Again) != 0 || response.AgainError != "" {
		t.Errorf("want nothing, got %+v", response.Again)
	}
	response := shop(t).renders(t, map[string]any{"path": "shop", "twice": true})
	if len(response.Again) != 0 || response.AgainError != "" || len(response.Lookups) != 2 {
		t.Errorf("want a steady chart and each question once, got %+v, %q, %v", response.Again, response.AgainError, response.Lookups)
	}
}

func TestPostOfTheSecondRenderKnowsWhatIsSteady(t *testing.T) {
	steady := "apiVersion: v1\nkind: Secret\nmetadata: {name: steady}\n---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Service, metadata: {name: one}}, {apiVersion: v1, kind: Service, metadata: {name: other}}]\n"
	files := randomChart(map[string]string{"a.yaml": valued("a", "randAlpha 8") + "---\n" + valued("b", "1"), "s.yaml": steady,
		"hook.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\nspec: {x: {{ randAlphaNum 9 }}}\n",
		"year.yaml": "apiVersion: v1\nkind: Role\nmetadata: {name: year, labels: {year: \"{{ now.Year }}\"}}\n"})
	year := strconv.Itoa(time.Now().Year())
	for name, test := range map[string]struct {
		patches []map[string]any
		prefix  string
		differ  string // the names of what differs
		fails   string
	}{
		"a target that is steady":        {[]map[string]any{{"patch": "- {op: add, path: /metadata/labels, value: {a: b}}", "target": map[string]any{"kind": "Secret"}}}, "", "a hook year", ""},
		"by name":                        {[]map[string]any{{"patch": "apiVersion: v1\nkind: Secret\nmetadata: {name: steady, labels: {a: b}}\n"}}, "", "a hook year", ""},
		"what is steady goes":            {[]map[string]any{{"patch": "$patch: delete\napiVersion: v1\nkind: Secret\nmetadata: {name: steady}\n"}}, "", "a hook year", ""},
		"what is random goes":            {[]map[string]any{{"patch": "- {op: replace, path: /data, value: {}}", "target": map[string]any{"name": "a|b"}}}, "", "hook year", ""},
		"both":                           {[]map[string]any{{"patch": "- {op: add, path: /metadata/labels, value: {a: b}}", "target": map[string]any{"kind": "ConfigMap|Service|Pod"}}}, "", "a hook year", ""},
		"no target in the second":        {[]map[string]any{{"patch": "- {op: add, path: /x, value: y}", "target": map[string]any{"labelSelector": "year=" + year}}}, "", "", "no object matches the target"},
		"a target beside what is random": {[]map[string]any{{"patch": "- {op: remove, path: /metadata/labels}", "target": map[string]any{"kind": "Role"}}}, "", "a hook", ""},
		"a name":                         {[]map[string]any{{"patch": "- {op: replace, path: /metadata/name, value: new}", "target": map[string]any{"name": "a"}}}, "", "new hook year", ""},
		"a prefix":                       {nil, "x-", "x-a x-hook x-year", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for i, patch := range test.patches {
				patch["name"] = strconv.Itoa(i)
			}
			response := files.renders(t, map[string]any{"path": ".", "twice": true,
				"post": map[string]any{"patches": test.patches, "namePrefix": test.prefix, "annotations": map[string]any{"by": "post"}}})
			if test.fails != "" {
				if !strings.HasPrefix(response.AgainError, "the second render failed: ") || !strings.Contains(response.AgainError, test.fails) {
					t.Errorf("want %q, got %q", test.fails, response.AgainError)
				}
				return
			}
			differ := map[string]bool{}
			for _, again := range response.Again {
				first := response.Documents
				if again.Hook {
					first = documentsOf(response.Hooks)
				}
				one, _ := declaredBy(part{text: first[again.Index].YAML})
				other, _ := declaredBy(part{text: again.YAML})
				if one.name != other.name || !strings.Contains(again.YAML, "by: post") {
					t.Errorf("want the same with post, got %s of %s", again.YAML, one.name)
				}
				differ[one.name] = true
			}
			wanted := map[string]bool{}
			for _, name := range strings.Fields(test.differ) {
				wanted[name] = true
			}
			if response.AgainError != "" || !maps.Equal(wanted, differ) {
				t.Errorf("want %v, got %v, %s", wanted, differ, response.AgainError)
			}
		})
	}
}

func TestASecondRenderOfAnotherOrderIsCompared(t *testing.T) {
	// Helm applies Secrets before ConfigMaps.
	text := valued("a", "randAlpha 8") + "---\n" + strings.Replace(valued("b", "randAlpha 8"), "ConfigMap", "{{ if lt now.Year NEXT }}ConfigMap{{ else }}Secret{{ end }}", 1)
	text = strings.ReplaceAll(text, "NEXT", strconv.Itoa(time.Now().Year()+1))
	response := randomChart(map[string]string{"a.yaml": text, "c.yaml": valued("c", "1")}).renders(t, map[string]any{"path": ".", "twice": true})
	if want := "dice/templates/a.yaml renders ConfigMap a, and in a second render Secret b: an object whose name is random is a new one each time"; response.AgainError != want {
		t.Errorf("want %q, got %q", want, response.AgainError)
	}
}

func TestWhatIsComputedOutOfADrawDiffersInOneOfTheRenders(t *testing.T) {
	templates := map[string]string{
		"mixed.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mixed\ndata:\n  password: {{ randAlphaNum 20 }}\n  parity: \"{{ mod (randInt 0 1000) 2 }}\"\n  half: \"{{ gt (randInt 0 1000) 499 }}\"\n  steady: \"1\"\n" +
			"---\n" + valued("steady", "1"),
		"steady.yaml": valued("other", "div 5 2"),
	}
	expressions := []string{`mod (randInt 0 1000) 2`, `div (randInt 0 1000) 500`, `mod (randNumeric 4 | atoi) 2`, `mod (randNumeric 4 | atoi) 60`, `uuidv4 | trunc 4`, `randAlphaNum 8 | lower | trunc 1`,
		`now | date "PM"`, `ternary "a" "b" (ge now.Hour 12)`, `mod now.Minute 2`, `tpl "{{ mod (randInt 0 1000) 2 }}" .`}
	for i, expression := range expressions {
		templates[fmt.Sprintf("t%02d.yaml", i)] = valued(fmt.Sprintf("t%02d", i), expression)
	}
	for range 40 {
		response := randomChart(templates).renders(t, map[string]any{"path": ".", "twice": true})
		if response.AgainError != "" {
			t.Fatal(response.AgainError)
		}
		again := map[string]string{}
		for _, one := range response.Again {
			again[response.Documents[one.Index].YAML] = one.YAML
		}
		for _, document := range response.Documents {
			text, differs := again[document.YAML]
			isSteady := strings.Contains(document.YAML, "name: steady") || strings.Contains(document.YAML, "name: other")
			if differs == isSteady {
				t.Errorf("%s: want steady %v in\n%s", document.Source, isSteady, document.YAML)
			}
			if document.Source != "dice/templates/mixed.yaml" || isSteady {
				continue
			}
			for i, line := range strings.Split(document.YAML, "\n") {
				if isRandom := strings.Contains(line, "password") || strings.Contains(line, "parity") || strings.Contains(line, "half"); isRandom == strings.Contains(text, line) && line != "" {
					t.Errorf("line %d, %q: want random %v in\n%s", i+1, line, isRandom, text)
				}
			}
		}
	}
}

func TestTheNumberOfDocumentsIsSeenToBeRandom(t *testing.T) {
	text := valued("a", "randAlphaNum 5") + "{{ if mod (randInt 0 1000) 2 }}\n---\n" + valued("b", "1") + "{{ end }}\n"
	for range 20 {
		response := randomChart(map[string]string{"a.yaml": valued("x", "1"), "b.yaml": text}).renders(t, map[string]any{"path": ".", "twice": true})
		if !strings.Contains(response.AgainError, "dice/templates/b.yaml renders another number of documents") {
			t.Fatalf("want it, got %q with %+v", response.AgainError, response.Again)
		}
	}
}

func TestAFurtherRenderThatFailsIsASecondOneThatDoes(t *testing.T) {
	failing := `{{ if mod (randInt 0 1000) 2 }}{{ fail "odd" }}{{ end }}` + "\n" + valued("a", "1")
	failed := 0
	for range 10 {
		response := randomChart(map[string]string{"a.yaml": failing}).render(t, map[string]any{"path": ".", "twice": true})
		if response.Error != nil {
			failed++
			continue
		}
		if !strings.Contains(response.AgainError, "the second render failed: templates/a.yaml") || !strings.Contains(response.AgainError, "odd") || strings.Contains(response.AgainError, "lead") {
			t.Errorf("want it with its template, got %q", response.AgainError)
		}
	}
	t.Logf("the first of 10 renders failed %d times", failed)
}

func TestLinesOfLaterRendersAreUnited(t *testing.T) {
	for name, test := range map[string]struct{ first, later, other, want string }{
		"values":         {"a: 1\nb: 2\nc: 3\n", "a: 9\nb: 2\nc: 3\n", "a: 8\nb: 8\nc: 3\n", "a: 9\nb: 8\nc: 3\n"},
		"items":          {"- a\n- b: 1\n  c: 2\n", "- x\n- b: 1\n  c: 2\n", "- y\n- b: 1\n  c: 3\n", "- x\n- b: 1\n  c: 3\n"},
		"another key":    {"a: 1\nb: 2\n", "a: 9\nb: 2\n", "b: 8\na: 8\n", "a: 9\nb: 2\n"},
		"another number": {"a: 1\nb: 2\n", "a: 9\nb: 2\n", "a: 1\nb: 8\nc: 8\n", "a: 9\nb: 2\n"},
		"another depth":  {"a:\n  b: 2\nc: 1\n", "a:\n  b: 2\nc: 9\n", "a:\nb: 2\nc: 1\n", "a:\n  b: 2\nc: 9\n"},
		"as the first":   {"a: 1\n", "a: 1\n", "a: [2]\nb: 1\n", "a: [2]\nb: 1\n"},
	} {
		later := map[string]string{"t": test.later}
		unite(map[string]string{"t": test.first}, later, map[string]string{"t": test.other})
		if later["t"] != test.want {
			t.Errorf("%s: want %q, got %q", name, test.want, later["t"])
		}
	}
}
