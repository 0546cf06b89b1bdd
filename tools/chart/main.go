// Chart makes the templates of the Helm chart from the manifests in deploy/k8s:
//
//	go run -C tools ./chart ../deploy/k8s ../deploy/helm/amoskys/templates
//
// Comments in the manifests say what is for people to choose:
//
//	key: value # helm: EXPRESSION     the expression stands in place of the value, and of
//	                                  what is below the key
//	key: value # helm: -              it is left out, with what is below it
//	# helm: TEXT                      the text as it is: a condition
//
// Other comments stay, and namespaces come from the values.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "use: chart MANIFESTS TEMPLATES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// left are files that the chart has not got: namespaces and Secrets are there before it.
var left = map[string]bool{"kustomization.yaml": true, "namespaces.yaml": true} //nolint:gochecknoglobals // a table

func run(manifests, templates string) error {
	files, err := filepath.Glob(filepath.Join(manifests, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := filepath.Base(file)
		if left[name] {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		made, err := template(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(templates, name), made, 0o644); err != nil { //nolint:gosec // for everybody, as what it is made of
			return err
		}
	}
	return nil
}

var (
	alone  = regexp.MustCompile(`^( *)# helm: (.*)$`)
	beside = regexp.MustCompile(`^( *)((?:- )?[A-Za-z][\w./-]*:|-)( .*)? # helm: (.*)$`)
	spaces = strings.NewReplacer( //nolint:gochecknoglobals // a table
		"namespace: amoskys-agents", "namespace: {{ .Values.agentsNamespace }}",
		"kubernetes.io/metadata.name: amoskys}", "kubernetes.io/metadata.name: {{ .Values.namespace }}}",
	)
	hubSpace = regexp.MustCompile(`namespace: amoskys(,|$)`)
)

// template makes one of one manifest.
func template(text string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("{{- /* Made from deploy/k8s by tools/chart: change it there. */ -}}\n")
	below := -1 // what is further to the right is left out; -1 for nothing
	for n, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if below >= 0 && (indent > below || line == "") {
			continue
		}
		below = -1
		switch m := beside.FindStringSubmatch(line); {
		case alone.MatchString(line):
			fmt.Fprintln(&out, alone.ReplaceAllString(line, "$1$2"))
		case m == nil && strings.Contains(line, "# helm:"):
			return nil, fmt.Errorf("line %d cannot be read: %s", n+1, line)
		case m == nil:
			line = spaces.Replace(line)
			fmt.Fprintln(&out, hubSpace.ReplaceAllString(line, "namespace: {{ .Values.namespace }}$1"))
		case m[4] == "-":
			below = indent
		default:
			if m[3] == "" {
				below = indent
			}
			space := " "
			if strings.HasPrefix(m[4], "{{-") {
				space = ""
			}
			fmt.Fprintf(&out, "%s%s%s%s\n", m[1], m[2], space, m[4])
		}
	}
	return out.Bytes(), nil
}
