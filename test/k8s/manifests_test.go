package k8s

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	top     = "../.."
	hubNS   = "amoskys"
	agentNS = "amoskys-agents"
)

// world is what a set of manifests makes in a cluster.
type world struct {
	namespaces []corev1.Namespace
	accounts   []corev1.ServiceAccount
	configs    []corev1.ConfigMap
	services   []corev1.Service
	workloads  []workload
	budgets    []policyv1.PodDisruptionBudget
	scalers    []autoscalingv2.HorizontalPodAutoscaler
	ingresses  []networkingv1.Ingress
	policies   []networkingv1.NetworkPolicy
	secrets    []corev1.Secret
}

// workload is anything that makes pods.
type workload struct {
	kind, namespace, name string
	replicas              *int32 // nil where a scaler says it
	template              corev1.PodTemplateSpec
	claims                []corev1.PersistentVolumeClaim
}

func (w *workload) key() string { return w.namespace + "/" + w.name }

// decode reads documents of YAML strictly: a field that Kubernetes does not know is an error.
func decode(text []byte) (*world, error) {
	w := &world{}
	for i, doc := range bytes.Split(append([]byte("\n"), text...), []byte("\n---\n")) {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal(doc, &head); err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if head.Kind == "" {
			continue
		}
		if err := w.take(head.Kind, doc); err != nil {
			return nil, fmt.Errorf("document %d, %s: %w", i, head.Kind, err)
		}
	}
	return w, nil
}

func (w *world) take(kind string, doc []byte) error {
	switch kind {
	case "Namespace":
		return into(doc, &w.namespaces)
	case "ServiceAccount":
		return into(doc, &w.accounts)
	case "ConfigMap":
		return into(doc, &w.configs)
	case "Service":
		return into(doc, &w.services)
	case "Secret":
		return into(doc, &w.secrets)
	case "PodDisruptionBudget":
		return into(doc, &w.budgets)
	case "HorizontalPodAutoscaler":
		return into(doc, &w.scalers)
	case "Ingress":
		return into(doc, &w.ingresses)
	case "NetworkPolicy":
		return into(doc, &w.policies)
	case "StatefulSet":
		var s appsv1.StatefulSet
		err := yaml.UnmarshalStrict(doc, &s)
		w.workloads = append(w.workloads, workload{kind, s.Namespace, s.Name, s.Spec.Replicas, s.Spec.Template, s.Spec.VolumeClaimTemplates})
		return err
	case "Deployment":
		var d appsv1.Deployment
		err := yaml.UnmarshalStrict(doc, &d)
		w.workloads = append(w.workloads, workload{kind, d.Namespace, d.Name, d.Spec.Replicas, d.Spec.Template, nil})
		return err
	case "DaemonSet":
		var d appsv1.DaemonSet
		err := yaml.UnmarshalStrict(doc, &d)
		w.workloads = append(w.workloads, workload{kind, d.Namespace, d.Name, nil, d.Spec.Template, nil})
		return err
	}
	return fmt.Errorf("no manifest of ours is of this kind")
}

func into[T any](doc []byte, list *[]T) error {
	var v T
	err := yaml.UnmarshalStrict(doc, &v)
	*list = append(*list, v)
	return err
}

// kustomized is what kubectl kustomize prints.
func kustomized(t *testing.T, dir string) []byte {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(top, dir))
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func base(t *testing.T) *world {
	t.Helper()
	w, err := decode(kustomized(t, "deploy/k8s"))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) find(t *testing.T, key string) *workload {
	t.Helper()
	for i := range w.workloads {
		if w.workloads[i].key() == key {
			return &w.workloads[i]
		}
	}
	t.Fatalf("there is no %s", key)
	return nil
}

// TestEachFile: every file is read strictly, the overlays too, and each overlay changes
// what it says.
func TestEachFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(top, "deploy/k8s/*.y*ml"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		w, err := decode(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(w.secrets) > 0 {
			t.Errorf("%s has Secrets: kubectl apply -f of the folder puts them in place of keys", file)
		}
	}
	for _, bad := range []string{
		"kind: Service\nmetadata: {name: x}\nspec: {portz: []}", "kind: Service\nkind: Service", "kind: Pod",
	} {
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("taken: %q", bad)
		}
	}
	demo, err := decode(kustomized(t, "deploy/k8s-overlays/demo"))
	if err != nil || *demo.find(t, hubNS+"/mac-telemetry").replicas != 1 {
		t.Errorf("demo: %v", err)
	}
	single, err := decode(kustomized(t, "deploy/k8s-overlays/single-node"))
	if err != nil {
		t.Fatal(err)
	}
	if hub := single.find(t, hubNS+"/eventbus"); hub.claims[0].Spec.Resources.Requests.Storage().Cmp(resource.MustParse("5Gi")) != 0 ||
		variable(hub, "AMOSKYS_WAL_RETENTION_SIZE_MB") != "4000" || variable(single.find(t, hubNS+"/store"), "AMOSKYS_STORE_RETENTION_SIZE_MB") != "8000" || len(single.ingresses)+len(single.scalers) != 0 || *single.find(t, hubNS+"/dashboard").replicas != 1 {
		t.Error("single-node is not what it says")
	}
}

func variable(w *workload, name string) string {
	for _, e := range w.template.Spec.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// TestWhatThereIs: namespaces, the six agents with a Deployment and a Service each, the
// hub's and dashboards' Services, budgets, scaler and accounts.
func TestWhatThereIs(t *testing.T) {
	t.Parallel()
	w := base(t)
	levels := map[string]string{}
	for _, n := range w.namespaces {
		levels[n.Name] = n.Labels["pod-security.kubernetes.io/enforce"]
	}
	if levels[hubNS] != "restricted" || levels[agentNS] != "privileged" || len(levels) != 2 {
		t.Errorf("namespaces: %v", levels)
	}
	ports := map[string]string{}
	kinds := map[string]corev1.ServiceType{}
	for _, s := range w.services {
		var all []string
		for _, p := range s.Spec.Ports {
			all = append(all, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
		ports[s.Namespace+"/"+s.Name], kinds[s.Namespace+"/"+s.Name] = strings.Join(all, " "), s.Spec.Type
		for _, p := range s.Spec.Ports {
			target := w.find(t, s.Namespace+"/"+s.Name)
			if !slices.ContainsFunc(target.template.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal && c.ContainerPort == p.Port }) {
				t.Errorf("Service %s/%s port %d leads nowhere", s.Namespace, s.Name, p.Port)
			}
		}
	}
	want := map[string]string{
		"amoskys/eventbus": "5000/ 9090/", "amoskys/store": "5002/ 9092/", "amoskys/dashboard": "5001/",
		"amoskys/eventbus-agent": "50001/", "amoskys/snmp-agent": "50005/ 1162/UDP", "amoskys/mac-telemetry": "50003/",
		"amoskys-agents/proc-agent": "50002/", "amoskys-agents/flow-agent": "50004/", "amoskys-agents/device-scanner": "50006/",
	}
	for key, p := range want {
		if ports[key] != p {
			t.Errorf("Service %s: %q, want %q", key, ports[key], p)
		}
		if _, agent := strings.CutPrefix(key, "amoskys/"); !agent || strings.Contains(key, "-") {
			if d := w.find(t, key); d.kind != "Deployment" && d.kind != "StatefulSet" {
				t.Errorf("%s is a %s", key, d.kind)
			}
		}
	}
	if len(ports) != len(want) || kinds["amoskys/dashboard"] != corev1.ServiceTypeLoadBalancer {
		t.Errorf("Services: %v %v", ports, kinds)
	}
	if d := w.find(t, agentNS+"/node"); d.kind != "DaemonSet" || !d.template.Spec.HostPID || !d.template.Spec.HostNetwork || len(d.template.Spec.Tolerations) == 0 {
		t.Error("the DaemonSet does not see machines")
	}
	if len(w.budgets) != 2 || len(w.scalers) != 1 || len(w.ingresses) != 1 || *w.scalers[0].Spec.MinReplicas != 2 {
		t.Errorf("%d budgets, %d scalers, %d ingresses", len(w.budgets), len(w.scalers), len(w.ingresses))
	}
	for i := range w.workloads {
		load := &w.workloads[i]
		scaled := slices.ContainsFunc(w.scalers, func(s autoscalingv2.HorizontalPodAutoscaler) bool {
			return s.Namespace == load.namespace && s.Spec.ScaleTargetRef.Name == load.name
		})
		if load.kind != "DaemonSet" && scaled != (load.replicas == nil) {
			t.Errorf("%s: who says how many there are? Its scaler: %v, its replicas: %v", load.key(), scaled, load.replicas)
		}
	}
	for _, a := range w.accounts {
		if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
			t.Errorf("account %s/%s has a token mounted", a.Namespace, a.Name)
		}
	}
}

// TestPods: what each pod may do is as little as it needs.
func TestPods(t *testing.T) {
	t.Parallel()
	w := base(t)
	accounts := map[string]bool{}
	for _, a := range w.accounts {
		accounts[a.Namespace+"/"+a.Name] = true
	}
	for i := range w.workloads {
		load := &w.workloads[i]
		spec := load.template.Spec
		if !accounts[load.namespace+"/"+spec.ServiceAccountName] || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s: account %q, or its token is mounted", load.key(), spec.ServiceAccountName)
		}
		// Else Service eventbus sets EVENTBUS_PORT to tcp://….
		if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
			t.Errorf("%s: Services set its variables", load.key())
		}
		// As long as the program itself may take, and more.
		least := map[string]int64{"eventbus": 45, "store": 45, "node": 30, "dashboard": 15 + 5}[load.name]
		if spec.TerminationGracePeriodSeconds == nil || *spec.TerminationGracePeriodSeconds < max(least, 30) {
			t.Errorf("%s is killed before it has ended", load.key())
		}
		if sc := spec.SecurityContext; sc == nil || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: no seccomp profile", load.key())
		}
		if load.namespace == hubNS {
			restricted(t, load)
		}
		for _, c := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
			checkContainer(t, load, &c)
		}
		for _, c := range spec.Containers {
			if c.StartupProbe == nil || c.LivenessProbe == nil || c.ReadinessProbe == nil {
				t.Errorf("%s: a probe is missing", load.key())
			}
		}
	}
}

// restricted is what the Pod Security Standard of that name asks for, and that no volume is
// of the machine.
func restricted(t *testing.T, load *workload) {
	t.Helper()
	spec := load.template.Spec
	if sc := spec.SecurityContext; sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.RunAsUser == nil || *sc.RunAsUser != 65532 || sc.FSGroup == nil {
		t.Errorf("%s may be root", load.key())
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		t.Errorf("%s has a part of the machine", load.key())
	}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			t.Errorf("%s mounts the machine's %s", load.key(), v.HostPath.Path)
		}
	}
}

func checkContainer(t *testing.T, load *workload, c *corev1.Container) {
	t.Helper()
	name := load.key() + " " + c.Name
	sc := c.SecurityContext
	if sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation ||
		sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || sc.Privileged != nil && *sc.Privileged {
		t.Errorf("%s may do more than it needs: %+v", name, sc)
		return
	}
	for _, added := range sc.Capabilities.Add {
		if load.namespace == hubNS || !slices.Contains([]corev1.Capability{"CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID", "NET_RAW", "SYS_PTRACE", "DAC_READ_SEARCH"}, added) {
			t.Errorf("%s has CAP_%s", name, added)
		}
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%s: memory is not bounded, or nothing is asked for", name)
	}
	if c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError {
		t.Errorf("%s: why it ended is not told", name)
	}
	if c.Image != "amoskys:latest" || c.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("%s: image %s, %s", name, c.Image, c.ImagePullPolicy)
	}
}

// TestSecretsAndConfigs: what pods mount is what amoskys certs init --k8s writes, key by
// key, the authority's key goes to the hub alone, and agents find their configuration.
func TestSecretsAndConfigs(t *testing.T) {
	t.Parallel()
	w := base(t)
	text, err := os.ReadFile(filepath.Join(top, "deploy/k8s/secret-tls.yaml.example"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, s := range written.secrets {
		for key := range s.Data {
			has[s.Namespace+"/"+s.Name+"/"+key] = true
		}
	}
	for i := range w.workloads {
		load := &w.workloads[i]
		for _, key := range mounted(load) {
			if !has[load.namespace+"/"+key] {
				t.Errorf("%s mounts Secret key %s, which is not written", load.key(), key)
			}
			if strings.HasPrefix(key, "amoskys-ca/") && load.name != "eventbus" {
				t.Errorf("%s has the authority's key", load.key())
			}
		}
	}
	for _, c := range w.configs {
		for file := range c.Data {
			found, err := filepath.Glob(filepath.Join(top, "internal/agents/*", file))
			if err != nil || len(found) != 1 {
				t.Errorf("ConfigMap of %s: no agent reads %s", c.Namespace, file)
			}
		}
	}
}

// mounted are the keys of Secrets, as NAME/KEY, that a pod gets.
func mounted(load *workload) (keys []string) {
	add := func(name string, items []corev1.KeyToPath) {
		if len(items) == 0 {
			keys = append(keys, name+"/(all)")
		}
		for _, i := range items {
			keys = append(keys, name+"/"+i.Key)
		}
	}
	for _, v := range load.template.Spec.Volumes {
		if v.Secret != nil {
			add(v.Secret.SecretName, v.Secret.Items)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				add(s.Secret.Name, s.Secret.Items)
			}
		}
	}
	for _, c := range append(slices.Clone(load.template.Spec.InitContainers), load.template.Spec.Containers...) {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				keys = append(keys, e.ValueFrom.SecretKeyRef.Name+"/"+e.ValueFrom.SecretKeyRef.Key)
			}
		}
	}
	return keys
}

// TestIdentity: an agent's name does not change with its pod.
func TestIdentity(t *testing.T) {
	t.Parallel()
	w := base(t)
	for i := range w.workloads {
		load := &w.workloads[i]
		if len(load.template.Spec.InitContainers) == 0 {
			continue
		}
		join := load.template.Spec.InitContainers[0]
		at := slices.IndexFunc(join.Env, func(e corev1.EnvVar) bool { return e.Name == "AMOSKYS_NODE_NAME" })
		if at < 0 {
			t.Errorf("%s is called as its pod", load.key())
			continue
		}
		name := join.Env[at]
		if load.namespace == hubNS {
			if name.Value != load.name {
				t.Errorf("%s is called %q", load.key(), name.Value)
			}
			continue
		}
		if name.ValueFrom == nil || name.ValueFrom.FieldRef.FieldPath != "spec.nodeName" {
			t.Errorf("%s is not called as its node", load.key())
		}
		for _, v := range load.template.Spec.Volumes {
			if v.ConfigMap == nil && (v.HostPath == nil || !strings.HasPrefix(v.HostPath.Path, "/var/lib/amoskys-agent/"+load.name+"/")) {
				t.Errorf("%s keeps %s in the pod", load.key(), v.Name)
			}
		}
	}
}
