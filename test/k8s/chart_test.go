package k8s

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/template"

	"sigs.k8s.io/yaml"
)

const chart = top + "/deploy/helm/amoskys"

// helmFunctions are those of Helm's that the chart calls, so that its templates are read
// here without Helm, which takes minutes to build.
func helmFunctions() template.FuncMap {
	return template.FuncMap{
		"toYaml": func(v any) (string, error) {
			text, err := yaml.Marshal(v)
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"toJson": func(v any) (string, error) { text, err := json.Marshal(v); return string(text), err },
		"nindent": func(n int, s string) string {
			pad := "\n" + strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(s, "\n", pad)
		},
		"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"int64": func(v any) (int64, error) {
			n, is := v.(float64)
			if !is {
				return 0, fmt.Errorf("%v is no number", v)
			}
			return int64(n), nil
		},
		"join": func(sep string, list []any) string {
			var all []string
			for _, v := range list {
				all = append(all, fmt.Sprint(v))
			}
			return strings.Join(all, sep)
		},
		"list": func(v ...any) []any { return v },
	}
}

// values are those of the chart, as Helm has them: numbers are float64.
func values(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// rendered is what helm template makes of the chart.
func rendered(t *testing.T, v map[string]any) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	var out bytes.Buffer
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made, err := template.New(file).Option("missingkey=error").Funcs(helmFunctions()).Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n---\n")
		if err := made.Execute(&out, map[string]any{"Values": v}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// objects are documents by kind, namespace and name.
func objects(t *testing.T, text []byte) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, doc := range bytes.Split(append([]byte("\n"), text...), []byte("\n---\n")) {
		var o map[string]any
		// A text at the end of a document has its line break still.
		if err := yaml.Unmarshal(append(bytes.Clone(doc), '\n'), &o); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if len(o) == 0 {
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		all[fmt.Sprintf("%v %v/%v", o["kind"], meta["namespace"], meta["name"])] = o
	}
	return all
}

// TestChartIsTheManifests: without values the chart gives what deploy/k8s has, but for the
// namespaces, which are there before it.
func TestChartIsTheManifests(t *testing.T) {
	t.Parallel()
	got, want := objects(t, rendered(t, values(t))), objects(t, kustomized(t, "deploy/k8s"))
	maps.DeleteFunc(want, func(key string, _ any) bool { return strings.HasPrefix(key, "Namespace ") })
	for key := range want {
		if !reflect.DeepEqual(got[key], want[key]) {
			g, _ := yaml.Marshal(got[key])
			w, _ := yaml.Marshal(want[key])
			t.Errorf("%s: the chart has\n%s\nand not\n%s", key, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the chart has %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestChartValues: values do what they say.
func TestChartValues(t *testing.T) {
	t.Parallel()
	v := values(t)
	section := func(keys ...string) map[string]any {
		at := v
		for _, k := range keys {
			at = at[k].(map[string]any)
		}
		return at
	}
	v["namespace"], v["agentsNamespace"], v["image"], v["storageClass"], v["hostPath"] = "sec", "sec-nodes", "r/amoskys:2", "fast", "/srv/a"
	v["networkPolicies"] = false
	section("ingress")["enabled"] = false
	section("dashboard", "autoscaling")["enabled"] = false
	section("dashboard")["replicas"] = 3.0
	section("dashboard", "service")["type"] = "ClusterIP"
	section("eventbus")["retentionSizeMB"] = 5_000_000.0
	section("agents", "snmp")["nodeSelector"] = map[string]any{"disk": "fast"}
	text := rendered(t, v)
	w, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.ingresses)+len(w.scalers)+len(w.policies) != 0 || *w.find(t, "sec/dashboard").replicas != 3 {
		t.Error("something is there that was switched off, or there are not three dashboards")
	}
	if hub := w.find(t, "sec/eventbus"); variable(hub, "AMOSKYS_WAL_RETENTION_SIZE_MB") != "5000000" || *hub.claims[0].Spec.StorageClassName != "fast" {
		t.Error("the hub's volume is not as it was told")
	}
	if w.find(t, "sec/snmp-agent").template.Spec.NodeSelector["disk"] != "fast" {
		t.Error("the SNMP agent is on any node")
	}
	if node := w.find(t, "sec-nodes/node"); variable(node, "EVENTBUS_HOST") != "eventbus.sec.svc" || node.template.Spec.Volumes[0].HostPath.Path != "/srv/a/node/certs" ||
		!slices.Contains(node.template.Spec.InitContainers[0].Args, "--hub=eventbus.sec.svc:5000") {
		t.Error("the DaemonSet looks for the hub elsewhere, or keeps its key elsewhere")
	}
	for _, bad := range []string{"namespace: amoskys", "image: amoskys", "amoskys.svc", "/var/lib/amoskys-agent", "loadBalancerSourceRanges", "externalTrafficPolicy", "TRUSTED_PROXIES"} {
		if bytes.Contains(text, []byte(bad)) {
			t.Errorf("%q is in it still", bad)
		}
	}
}

// TestChartSchema: the schema has every value, and no other.
func TestChartSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	definitions, _ := schema["$defs"].(map[string]any)
	var walk func(path string, s, v map[string]any)
	walk = func(path string, s, v map[string]any) {
		if ref, is := s["$ref"].(string); is {
			s, _ = definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		properties, has := s["properties"].(map[string]any)
		if !has {
			return // whatever people write
		}
		if s["additionalProperties"] != false {
			t.Errorf("%s takes what is misspelt", path)
		}
		for key, value := range v {
			p, known := properties[key].(map[string]any)
			if !known {
				t.Errorf("the schema has no %s%s", path, key)
				continue
			}
			if below, is := value.(map[string]any); is {
				walk(path+key+".", p, below)
			}
		}
		for key := range properties {
			if _, is := v[key]; !is && key != "global" {
				t.Errorf("values.yaml has no %s%s", path, key)
			}
		}
	}
	walk("", schema, values(t))
}
