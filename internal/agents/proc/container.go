package proc

import (
	"bytes"
	"slices"
	"strings"
)

// parseCgroup returns the path in /proc/PID/cgroup, of the unified hierarchy where
// there is one, and what it says of a container.
func parseCgroup(b []byte) (group string, in container) {
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\n")
		_, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		controllers, where, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			continue
		}
		if group == "" || len(controllers) == 0 {
			group = clean(where, maxPath)
		}
		if in.id == "" {
			in = containerOf(clean(where, maxPath))
		}
	}
	return group, in
}

// container is what a process runs in: "" where it runs in none, or none we know.
type container struct{ id, pod string }

// containerOf finds the innermost container that a control group's path names, and
// the uid of the Kubernetes pod around it. What runtimes call their groups:
//
//	runtime                         | name of the group                          | id
//	--------------------------------+--------------------------------------------+---------
//	Docker, containerd, runc, CRI   | ID (64 hexadecimal digits)                 | ID
//	those with systemd              | PREFIX-ID.scope, SLICE:PREFIX:ID           | ID
//	Podman, CRI-O without systemd   | libpod-ID, libpod-payload-ID, crio-ID      | ID
//	Fargate                         | /ecs/TASK/ID, 32 digits and a number       | ID
//	LXC, LXD, Incus                 | lxc.payload.NAME, /lxc/NAME                | NAME
//	systemd-nspawn                  | systemd-nspawn@NAME.service, machine-NAME.scope | NAME
//
// Not containers are their helpers (conmon, lxc.monitor, nspawn's supervisor),
// virtual machines and builds: a long hash alone proves nothing.
func containerOf(group string) container {
	parts := strings.Split(strings.Trim(group, "/"), "/")
	for i := range slices.Backward(parts) {
		if id := containerName(parts, i); id != "" {
			return container{id: id, pod: podOf(parts[:i+1])}
		}
	}
	return container{}
}

// scopes are the prefixes of groups of containers.
var scopes = map[string]bool{ //nolint:gochecknoglobals // constant
	"docker": true, "libpod": true, "libpod-payload": true, "crio": true, "cri-containerd": true,
	"containerd": true, "nerdctl": true, "runc": true, "crun": true,
}

// containerName is the id of the container whose group parts[i] is, or "".
func containerName(parts []string, i int) string {
	part, above, below := parts[i], "", ""
	if i > 0 {
		above = parts[i-1]
	}
	if i+1 < len(parts) {
		below = parts[i+1]
	}
	if isContainerID(part) || above != "" && isFargateID(part) && strings.HasPrefix(strings.Join(parts[:i], "/"), "ecs/") {
		return part
	}
	if slice, rest, ok := strings.Cut(part, ":"); ok && strings.HasSuffix(slice, ".slice") { // runc without systemd's help
		if prefix, id, ok := strings.Cut(rest, ":"); ok && scopes[prefix] && isContainerID(id) {
			return id
		}
	}
	name := strings.TrimSuffix(part, ".scope")
	if dash := strings.LastIndexByte(name, '-'); dash > 0 && scopes[name[:dash]] && isContainerID(name[dash+1:]) {
		return name[dash+1:]
	}
	switch {
	case above == "lxc" || above == "lxc.payload":
		return part
	case strings.HasPrefix(part, "lxc.payload."):
		return part[len("lxc.payload."):]
	case below == "supervisor":
		return "" // systemd-nspawn itself
	case strings.HasPrefix(part, "systemd-nspawn@") && strings.HasSuffix(part, ".service"):
		return unescape(part[len("systemd-nspawn@") : len(part)-len(".service")])
	case strings.HasPrefix(part, "machine-") && part != name:
		return machine(unescape(name[len("machine-"):]))
	}
	return ""
}

// machine is a name that systemd-machined registered, unless it is one of libvirt's,
// which are mostly virtual machines: their names start with the driver's.
func machine(name string) string {
	for _, driver := range []string{"qemu-", "xen-", "bhyve-", "ch-"} {
		if strings.HasPrefix(name, driver) {
			return ""
		}
	}
	return name
}

// podOf is the uid of the innermost pod whose group, "podUID", or "…kubepods-…-podUID.slice"
// with underscores for dashes, is among parts; "" without one.
func podOf(parts []string) string {
	for _, part := range slices.Backward(parts) {
		if uid, ok := strings.CutPrefix(part, "pod"); ok && isPodUID(uid) {
			return uid
		}
		slice, _, _ := strings.Cut(part, ":")
		name, ok := strings.CutSuffix(slice, ".slice")
		if !ok || !strings.Contains(name, "kubepods") {
			continue
		}
		if at := strings.LastIndex(name, "-pod"); at >= 0 {
			if uid := strings.ReplaceAll(name[at+len("-pod"):], "_", "-"); isPodUID(uid) {
				return uid
			}
		}
	}
	return ""
}

// isPodUID: a UUID, or the hash that a static pod has for one.
func isPodUID(s string) bool {
	switch len(s) {
	case 36:
		return s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && isHex(strings.ReplaceAll(s, "-", ""))
	case 32:
		return isHex(s)
	}
	return false
}

func isContainerID(s string) bool { return len(s) == 64 && isHex(s) }

func isFargateID(s string) bool {
	task, number, ok := strings.Cut(s, "-")
	return ok && len(task) == 32 && isHex(task) && number != "" && strings.Trim(number, "0123456789") == ""
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// unescape undoes systemd's "\x2d" (systemd.unit(5)), for characters that can be seen.
func unescape(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		if len(s) >= 4 && s[0] == '\\' && s[1] == 'x' {
			hi, lo := strings.IndexByte("0123456789abcdef", s[2]), strings.IndexByte("0123456789abcdef", s[3])
			if c := hi<<4 | lo; hi >= 2 && hi < 8 && lo >= 0 && c != 0x7f {
				out.WriteByte(byte(c))
				s = s[4:]
				continue
			}
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String()
}
