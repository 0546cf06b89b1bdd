package promapi

import (
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/tsdb/index"
)

// buildInfo is what status/buildinfo answers. Its version is that of the Prometheus whose
// engine answers, since clients choose by it what they ask; ours is the revision.
type buildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

func (a *API) buildInfo(*request) (answer, error) {
	return made(buildInfo{Version: engineVersion(), Revision: "amoskys " + a.o.Version, GoVersion: runtime.Version()}), nil
}

// engineModule is the module that the engine is of. Its version v0.XYY.Z is that of
// Prometheus X.YY.Z.
const engineModule = "github.com/prometheus/prometheus"

// engineVersion is the version of Prometheus that the engine is of.
func engineVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == engineModule {
				return prometheusVersion(m.Version)
			}
		}
	}
	return "3.0.0"
}

// prometheusVersion makes 3.16.0 of v0.316.0.
func prometheusVersion(module string) string {
	rest, ok := strings.CutPrefix(module, "v0.")
	minor, patch, found := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	if !ok || !found || err != nil {
		return strings.TrimPrefix(module, "v")
	}
	return strconv.Itoa(n/100) + "." + strconv.Itoa(n%100) + "." + patch
}

// runtimeInfo is what status/runtimeinfo answers. It names neither the folder nor the
// host, which are nobody's business who may only ask for numbers.
type runtimeInfo struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	CorruptionCount     int64     `json:"corruptionCount"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
	StorageRetention    string    `json:"storageRetention"`
}

func (a *API) runtimeInfo(q *request) (answer, error) {
	return made(runtimeInfo{
		StartTime: a.began.UTC(), ServerTime: q.now.UTC(), ReloadConfigSuccess: true, LastConfigTime: a.began.UTC(),
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1),
		GOGC: os.Getenv("GOGC"), StorageRetention: a.o.Settings["storage.tsdb.retention.time"],
	}), nil
}

func (a *API) config(*request) (answer, error) {
	return made(map[string]string{"yaml": a.o.Config}), nil
}

// flags answers with our settings, by the names that Prometheus' flags for them have.
func (a *API) flags(*request) (answer, error) {
	l := a.o.Limits
	all := map[string]string{
		"query.timeout": l.Timeout.String(), "query.max-samples": strconv.Itoa(l.Samples), "query.lookback-delta": l.Lookback.String(),
		"query.max-concurrency": strconv.Itoa(l.Running),
	}
	maps.Copy(all, a.o.Settings)
	return made(all), nil
}

// count is a name with a number.
type count struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

func counts(stats []index.Stat) []count {
	list := make([]count, len(stats))
	for i, s := range stats {
		list[i] = count{s.Name, s.Count}
	}
	return list
}

// tsdbStatus is what status/tsdb answers.
type tsdbStatus struct {
	HeadStats                   headStats `json:"headStats"`
	SeriesCountByMetricName     []count   `json:"seriesCountByMetricName"`
	LabelValueCountByLabelName  []count   `json:"labelValueCountByLabelName"`
	MemoryInBytesByLabelName    []count   `json:"memoryInBytesByLabelName"`
	SeriesCountByLabelValuePair []count   `json:"seriesCountByLabelValuePair"`
}

// headStats is what is in memory.
type headStats struct {
	NumSeries     uint64 `json:"numSeries"`
	NumLabelPairs int    `json:"numLabelPairs"`
	ChunkCount    int64  `json:"chunkCount"`
	MinTime       int64  `json:"minTime"`
	MaxTime       int64  `json:"maxTime"`
}

// Bounds of status/tsdb: how many of each it tells without a limit, and at most.
const (
	statsOf    = 10
	maxStatsOf = 1000
)

func (a *API) tsdbStatus(q *request) (answer, error) {
	limit, err := q.limit()
	if err != nil {
		return answer{}, err
	}
	if limit == 0 {
		limit = statsOf
	}
	if a.o.Stats == nil {
		return answer{}, faultf(kindUnavailable, "nobody counts the series here")
	}
	s, err := a.o.Stats(min(limit, maxStatsOf))
	if err != nil {
		return answer{}, a.faultOf(err, "counting series")
	}
	p := s.IndexPostingStats
	if p == nil {
		p = &index.PostingsStats{}
	}
	return made(tsdbStatus{
		HeadStats:               headStats{NumSeries: s.NumSeries, NumLabelPairs: p.NumLabelPairs, MinTime: s.MinTime, MaxTime: s.MaxTime},
		SeriesCountByMetricName: counts(p.CardinalityMetricsStats), LabelValueCountByLabelName: counts(p.CardinalityLabelStats),
		MemoryInBytesByLabelName: counts(p.LabelValueStats), SeriesCountByLabelValuePair: counts(p.LabelValuePairsStats),
	}), nil
}
