package k8s

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// badPod is a hub in circumstances that it cannot work in, and what its pod then says.
type badPod struct {
	name string
	make func(spec *corev1.PodSpec)
	asks []string // of kubectl, after the names of namespace and pod
	says []string
}

func badPods() []badPod {
	ended := []string{"get", "pod", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated}"}
	return []badPod{
		{"second-hub", func(spec *corev1.PodSpec) {
			spec.Volumes[dataAt(spec)].VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-eventbus-0"}}
		}, ended, []string{"Failed", "locked"}},
		{"half-mounted", func(spec *corev1.PodSpec) {
			for i, v := range spec.Volumes {
				if v.Name == "certs" {
					hub := spec.Volumes[i].Projected.Sources[0].Secret
					hub.Items = hub.Items[:2] // without the key
				}
			}
		}, ended, []string{"Failed", "eventbus.key"}},
		{"no-secret", func(spec *corev1.PodSpec) {
			for i, v := range spec.Volumes {
				if v.Name == "certs" {
					spec.Volumes[i].Projected.Sources[0].Secret.Name = "amoskys-nobody"
				}
			}
		}, []string{"describe", "pod"}, []string{`"amoskys-nobody" not found`}},
	}
}

func dataAt(spec *corev1.PodSpec) int {
	for i, v := range spec.Volumes {
		if v.Name == "data" {
			return i
		}
	}
	return -1
}

// badPods starts hubs with a volume that is another's, and with Secrets that are not there or
// lack a key, all at once, and reads in each pod why it does not work.
func (c *cluster) badPods() {
	c.t.Helper()
	all := badPods()
	for _, bad := range all {
		hub := base(c.t).find(c.t, hubNS+"/eventbus")
		spec := hub.template.Spec
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		bad.make(&spec)
		c.pod(bad.name, spec)
	}
	for _, bad := range all {
		c.until(time.Minute, bad.name+" tells why it does not work", func() error {
			args := append([]string{"-n", hubNS}, bad.asks...)
			out, err := c.kubectl("", append(args[:4:4], append([]string{bad.name}, args[4:]...)...)...)
			for _, want := range bad.says {
				if err != nil || !strings.Contains(out, want) {
					return fmt.Errorf("no %q in: %s: %w", want, out, err)
				}
			}
			return nil
		})
		_, _ = c.kubectl("", "-n", hubNS, "delete", "pod", bad.name, "--wait=false", "--grace-period=1")
	}
}
