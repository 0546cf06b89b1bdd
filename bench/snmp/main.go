// Command snmp polls the same simulated switches with snmp_exporter and with
// `amoskys bench snmp`, in turn, and says what a cycle over all of them takes of each.
//
//	GOBIN=/tmp/bin go install github.com/prometheus/snmp_exporter@v0.30.1
//	go -C bench run ./snmp -amoskys ../bin/amoskys -exporter /tmp/bin/snmp_exporter \
//	  -config "$(go mod download -json github.com/prometheus/snmp_exporter@v0.30.1 | jq -r .Dir)/snmp.yml"
//
// The exporter is asked with its module if_mib for one device a request, as Prometheus
// asks it; both read all of the interfaces' names, states and counters. Each has one
// processor (GOMAXPROCS=1); the devices are a third process.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type options struct {
	amoskys, exporter, config       string
	devices, ports, rounds, workers int
}

// figures are of the middle round. CPU is of the poller alone.
type figures struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"`
	Failed     int     `json:"failed"`
}

// result is what -json prints.
type result struct {
	Devices  int     `json:"devices"`
	Ports    int     `json:"ports"`
	Rounds   int     `json:"rounds"`
	Exporter figures `json:"snmp_exporter"`
	Amoskys  figures `json:"amoskys"`
	Ratio    float64 `json:"ratio"`     // of the seconds, in the middle round by it
	CPURatio float64 `json:"cpu_ratio"` // of the CPU seconds
}

func main() {
	var o options
	flag.StringVar(&o.amoskys, "amoskys", "amoskys", "our program")
	flag.StringVar(&o.exporter, "exporter", "snmp_exporter", "the exporter's program")
	flag.StringVar(&o.config, "config", "snmp.yml", "the exporter's own configuration")
	flag.IntVar(&o.devices, "devices", 1000, "devices")
	flag.IntVar(&o.ports, "ports", 48, "interfaces of each")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the two take turns")
	flag.IntVar(&o.workers, "workers", 32, "devices that are asked at once")
	asJSON := flag.Bool("json", false, "print one JSON object")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := run(ctx, o)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "snmp:", err)
		stop()
		os.Exit(1)
	case *asJSON:
		_ = json.NewEncoder(os.Stdout).Encode(r)
	default:
		for name, f := range map[string]figures{"snmp_exporter": r.Exporter, "amoskys": r.Amoskys} {
			fmt.Printf("%-14s %.2f s a cycle, %.2f s of CPU, %d MiB, %d failed\n", name, f.Seconds, f.CPUSeconds, f.RSSBytes>>20, f.Failed)
		}
		fmt.Printf("%.1f times as fast, %.1f times less CPU\n", r.Ratio, r.CPURatio)
	}
}

func run(ctx context.Context, o options) (*result, error) {
	dir, err := os.MkdirTemp("", "snmp-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	devices, page, err := freePorts()
	if err != nil {
		return nil, err
	}
	counts := []string{"--devices", strconv.Itoa(o.devices), "--ports", strconv.Itoa(o.ports)}
	stopDevices, _, err := start(ctx, nil, o.amoskys, append([]string{"bench", "snmp", "--serve", devices}, counts...)...)
	if err != nil {
		return nil, err
	}
	defer stopDevices()
	auths := filepath.Join(dir, "auths.yml")
	if err := os.WriteFile(auths, credentials(o.devices), 0o600); err != nil {
		return nil, err
	}
	stopExporter, pid, err := start(ctx, []string{"GOMAXPROCS=1"}, o.exporter, "--web.listen-address="+page, "--config.file="+o.config, "--config.file="+auths, "--log.level=error")
	if err != nil {
		return nil, err
	}
	defer stopExporter()
	if err := answers(ctx, page); err != nil {
		return nil, err
	}
	r := &result{Devices: o.devices, Ports: o.ports, Rounds: o.rounds}
	var theirs, ours []figures
	for range o.rounds {
		f, err := scrape(ctx, o, page, devices, pid)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, f)
		if f, err = poll(ctx, o, append(counts, "--target", devices)); err != nil {
			return nil, err
		}
		ours = append(ours, f)
	}
	r.Exporter, r.Amoskys = middle(theirs), middle(ours)
	r.Ratio, r.CPURatio = r.Exporter.Seconds/r.Amoskys.Seconds, r.Exporter.CPUSeconds/r.Amoskys.CPUSeconds
	return r, nil
}

// freePorts are an address of UDP and one of TCP that nobody has now.
func freePorts() (udp, tcp string, err error) {
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer u.Close()
	t, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	return u.LocalAddr().String(), t.Addr().String(), t.Close()
}

// credentials are what the exporter opens the devices with.
func credentials(devices int) []byte {
	var b strings.Builder
	b.WriteString("auths:\n")
	for i := range devices {
		fmt.Fprintf(&b, "  device_%d: {community: device-%d, version: 2}\n", i, i)
	}
	return []byte(b.String())
}

// start runs a program until stop is called.
func start(ctx context.Context, env []string, name string, args ...string) (stop func(), pid int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, 0, err
	}
	return func() { cancel(); _ = cmd.Wait() }, cmd.Process.Pid, nil
}

// answers waits until the exporter has read its configuration.
func answers(ctx context.Context, page string) error {
	for range 300 {
		if resp, err := http.Get("http://" + page + "/-/healthy"); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the exporter does not answer")
}

// scrape asks the exporter for each device once.
func scrape(ctx context.Context, o options, page, devices string, pid int) (figures, error) {
	before, err := cpu(pid)
	if err != nil {
		return figures{}, err
	}
	began := time.Now()
	work := make(chan int)
	var mu sync.Mutex
	var f figures
	var workers sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.workers}, Timeout: time.Minute}
	for range o.workers {
		workers.Go(func() {
			for device := range work {
				err := ask(ctx, client, fmt.Sprintf("http://%s/snmp?target=%s&module=if_mib&auth=device_%d", page, devices, device))
				mu.Lock()
				if err != nil {
					f.Failed++
				}
				mu.Unlock()
			}
		})
	}
	for device := range o.devices {
		work <- device
	}
	close(work)
	workers.Wait()
	f.Seconds = time.Since(began).Seconds()
	after, err := cpu(pid)
	f.CPUSeconds, f.RSSBytes = after-before, peak(pid)
	return f, err
}

func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// poll runs our own bench for one cycle.
func poll(ctx context.Context, o options, args []string) (figures, error) {
	cmd := exec.CommandContext(ctx, o.amoskys, append([]string{"bench", "snmp", "--json", "--cycles", "1", "--workers", strconv.Itoa(o.workers)}, args...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "GOMAXPROCS=1"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return figures{}, fmt.Errorf("bench snmp: %w", err)
	}
	var f figures
	return f, json.Unmarshal(out, &f)
}

// middle is the round in the middle by its CPU.
func middle(list []figures) figures {
	slices.SortFunc(list, func(a, b figures) int { return int(1e6 * (a.CPUSeconds - b.CPUSeconds)) })
	return list[len(list)/2]
}

// cpu is the time that a process has used, user and system, in seconds (proc(5)).
func cpu(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("read the CPU time of a process: /proc has another form")
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	const ticks = 100 // USER_HZ
	return (user + system) / ticks, nil
}

// peak is the most memory that a process had resident, in bytes.
func peak(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
