package proc

import (
	"strings"
	"testing"
)

func TestContainers(t *testing.T) {
	id, other := strings.Repeat("0123456789abcdef", 4), strings.Repeat("fedcba9876543210", 4)
	task := id[:32]
	const pod, escaped = "91a8fc3a-0ecf-48b4-81bf-78a7275d348c", "91a8fc3a_0ecf_48b4_81bf_78a7275d348c"
	kube := "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + escaped + ".slice"
	tests := []struct{ name, group, id, pod string }{
		{"none", "/user.slice/user-1000.slice/session-1.scope", "", ""},
		{"root", "/", "", ""},
		{"docker with systemd", "/system.slice/docker-" + id + ".scope", id, ""},
		{"docker without", "/docker/" + id, id, ""},
		{"docker with a parent", "/ci/jobs/" + id, id, ""},
		{"docker without root", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id + ".scope", id, ""},
		{"docker, systemd inside", "/docker/" + id + "/system.slice/nginx.service", id, ""},
		{"docker in docker", "/docker/" + other + "/docker/" + id, id, ""},
		{"docker in lxc", "/lxc.payload.web/system.slice/docker-" + id + ".scope", id, ""},
		{"in a namespace of its own", "/../docker-" + id + ".scope", id, ""},
		{"podman", "/machine.slice/libpod-" + id + ".scope/container", id, ""},
		{"podman, systemd inside", "/machine.slice/libpod-" + id + ".scope/init.scope", id, ""},
		{"podman without root", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope", id, ""},
		{"podman without systemd", "/libpod_parent/libpod-" + id, id, ""},
		{"podman, split groups", "/system.slice/web.service/libpod-payload-" + id, id, ""},
		{"podman's monitor", "/machine.slice/libpod-conmon-" + id + ".scope", "", ""},
		{"podman's monitor without systemd", "/libpod_parent/conmon", "", ""},
		{"podman's pod", "/machine.slice/machine-libpod_pod_" + id + ".slice", "", ""},
		{"cri-o", kube + "/crio-" + id + ".scope", id, pod},
		{"cri-o without systemd", "/kubepods/burstable/pod" + pod + "/crio-" + id, id, pod},
		{"cri-o's monitor", kube + "/crio-conmon-" + id + ".scope", "", ""},
		{"cri-o's monitor without systemd", "/kubepods/pod" + pod + "/crio-conmon-" + id, "", ""},
		{"cri-o's monitor inside another", "/docker/" + other + "/kubepods/pod" + pod + "/crio-conmon-" + id, other, ""},
		{"containerd in kubernetes", kube + "/cri-containerd-" + id + ".scope", id, pod},
		{"containerd in kubernetes without systemd", "/kubepods/besteffort/pod" + pod + "/" + id, id, pod},
		{"guaranteed pod", "/kubepods.slice/kubepods-pod" + escaped + ".slice/cri-containerd-" + id + ".scope", id, pod},
		{"static pod", "/kubepods/burstable/pod" + task + "/" + id, id, task},
		{"kind", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + escaped +
			".slice/cri-containerd-" + id + ".scope", id, pod},
		{"drivers mixed", "/system.slice/containerd.service/kubepods-burstable-pod" + escaped + ".slice:cri-containerd:" + id, id, pod},
		{"nerdctl", "/system.slice/nerdctl-" + id + ".scope", id, ""},
		{"fargate", "/ecs/" + task + "/" + task + "-1234567890", task + "-1234567890", ""},
		{"ecs on a machine", "/ecs/" + task + "/" + id, id, ""},
		{"like fargate elsewhere", "/system.slice/" + task + "-1234567890", "", ""},
		{"lxc", "/lxc/web-1/system.slice/ssh.service", "web-1", ""},
		{"lxc 4", "/lxc.payload.web-1/init.scope", "web-1", ""},
		{"lxc's monitor", "/lxc.monitor.web-1", "", ""},
		{"lxc's old monitor", "/lxc.monitor/web-1", "", ""},
		{"nspawn service", "/machine.slice/systemd-nspawn@web\\x2d1.service/payload/init.scope", "web-1", ""},
		{"nspawn itself", "/machine.slice/systemd-nspawn@web\\x2d1.service/supervisor", "", ""},
		{"nspawn by hand", "/machine.slice/machine-web.scope/payload", "web", ""},
		{"virtual machine", "/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator", "", ""},
		{"build", "/user.slice/user-1000.slice/user@1000.service/app.slice/build-" + id + ".scope", "", ""},
		{"buildkit", "/docker/buildkit/pfxk2d4cm0rsq7q3bu4jvkbdm", "", ""},
		{"buildah", "/user.slice/user-1000.slice/user@1000.service/user.slice/buildah-" + id + ".scope", "", ""},
		{"longer than an id", "/docker/" + id + "0", "", ""},
		{"shorter than an id", "/docker/" + id[1:], "", ""},
		{"capitals", "/docker/" + strings.ToUpper(id), "", ""},
		{"escaped line break", `/system.slice/x\012y.service`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := containerOf(tt.group); got != (container{tt.id, tt.pod}) {
				t.Errorf("%s is %+v, want %q in pod %q", tt.group, got, tt.id, tt.pod)
			}
		})
	}
}

func TestParseCgroup(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	tests := []struct{ name, in, group, container string }{
		{"unified", "0::/user.slice/session-1.scope\n", "/user.slice/session-1.scope", ""},
		{"version 1", "12:pids:/docker/" + id + "\n11:cpu,cpuacct:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", "/docker/" + id, id},
		{"hybrid", "12:pids:/docker/" + id + "\n0::/x\n", "/x", id},
		{"hybrid, known to one hierarchy alone", "12:pids:/system.slice\n1:name=systemd:/system.slice/docker-" + id + ".scope\n0::/\n", "/", id},
		{"colons in the path", "0::/a:b:c\n", "/a:b:c", ""},
		{"garbage", "no colons", "", ""},
		{"half a line", "12:pids", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			group, in := parseCgroup([]byte(tt.in))
			if group != tt.group || in.id != tt.container {
				t.Errorf("got %q %q, want %q %q", group, in.id, tt.group, tt.container)
			}
		})
	}
}
