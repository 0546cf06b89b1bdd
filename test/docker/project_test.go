package docker_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ours are the services of the project that run our image.
func ours() []string {
	return []string{"eventbus", "store", "dashboard", "eventbus_agent", "proc_agent", "flow_agent", "device_scanner", "snmp_agent"}
}

// testProject brings the Compose project up around the image that is there, sees what its
// agents see arrive in its store, loses a dashboard and takes everything down again.
func testProject(t *testing.T, d *daemon, top string) {
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Skip("needs docker-compose")
	}
	own := *d
	d, own.t = &own, t // what fails is of this test
	t.Log("proxy, prometheus and grafana are left out: no registry that can be reached here has their images")
	compose := "docker-compose -p project -f docker-compose.yml "
	dir := filepath.Join(top, "deploy", "compose")
	defer func() {
		if out, err := d.shell(dir, compose+"down -v -t 60"); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	}()
	began := time.Now()
	if out, err := d.shell(dir, compose+"up -d --scale dashboard=2 init "+strings.Join(ours(), " ")); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	hub := d.containersOf("eventbus")[0]
	d.until(2*time.Minute, hub, "an event of a process", func() error { return d.hasTypes(hub, "process.") })
	t.Logf("from docker-compose up to the first event of a process: %.1f s", time.Since(began).Seconds())
	if out, err := d.shell(dir, compose+"logs init"); err != nil || !strings.Contains(out, "password:") {
		t.Errorf("no password is told: %v\n%s", err, out)
	}
	d.until(time.Minute, hub, "what agents say of themselves", func() error { return d.hasTypes(hub, "agent.health", "hub.health", "process.") })
	for _, name := range ours() {
		containers := d.containersOf(name)
		if want := map[bool]int{true: 2, false: 1}[name == "dashboard"]; len(containers) != want {
			t.Errorf("%s runs in %d containers, want %d", name, len(containers), want)
		}
		for _, c := range containers {
			d.until(time.Minute, c, name+" is well", func() error {
				return wrap(d.try("exec", c, "/usr/local/bin/amoskys", "healthcheck"))
			})
			if restarts := d.run("inspect", "-f", "{{.RestartCount}}", c); restarts != "0" {
				t.Errorf("%s was started again %s times:\n%s", name, restarts, d.run("logs", "--tail", "20", c))
			}
		}
	}
	// One dashboard is as good as two.
	pair := d.containersOf("dashboard")
	d.run("rm", "-f", pair[0])
	d.run("exec", pair[1], "/usr/local/bin/amoskys", "healthcheck")
}

// containersOf are those that run a service of the project.
func (d *daemon) containersOf(service string) []string {
	d.t.Helper()
	all := strings.Fields(d.run("ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project=project", "--filter", "label=com.docker.compose.service="+service))
	if len(all) == 0 {
		d.t.Fatalf("%s does not run:\n%s", service, d.run("ps", "-a"))
	}
	return all
}

// hasTypes asks the project's store, from a container, for events whose types begin so.
func (d *daemon) hasTypes(container string, prefixes ...string) error {
	out, err := d.try("exec", "-e", "STORE_HOST=store", container, "/usr/local/bin/amoskys", "query", "* | stats by (type) count() events", "--json")
	if err != nil {
		return wrap(out, err)
	}
	for _, p := range prefixes {
		if !strings.Contains(out, `"`+p) {
			return fmt.Errorf("no event of type %s among %s", p, out)
		}
	}
	return nil
}
