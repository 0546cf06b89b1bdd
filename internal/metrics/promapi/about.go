package promapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// described is a metric as metadata tells it.
type described struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metadata answers what metrics mean.
func (a *API) metadata(q *request) (answer, error) {
	limit, err := q.whole("limit")
	if err != nil {
		return answer{}, err
	}
	of, err := q.whole("limit_per_metric")
	if err != nil {
		return answer{}, err
	}
	metric, found := q.form.Get("metric"), map[string][]described{}
	for _, f := range a.families() {
		if metric != "" && f.Name != metric || limit >= 0 && len(found) >= limit && found[f.Name] == nil || of > 0 && len(found[f.Name]) >= of {
			continue
		}
		found[f.Name] = append(found[f.Name], described{f.Type, f.Help, f.Unit})
	}
	return made(found), nil
}

// whole reads a number; negative where there is none, and where it says so.
func (q *request) whole(name string) (int, error) {
	text := q.form.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, faultf(kindBadData, "%s must be a number", name)
	}
	return n, nil
}

// families are those that we describe, by name.
func (a *API) families() []Family {
	if a.o.Families == nil {
		return nil
	}
	all := slices.Clone(a.o.Families())
	slices.SortStableFunc(all, func(x, y Family) int { return cmp.Compare(x.Name, y.Name) })
	return all
}

// describedOf is a metric as targets/metadata tells it.
type describedOf struct {
	Target map[string]string `json:"target"`
	Metric string            `json:"metric,omitempty"`
	described
}

// targetMetadata answers what metrics mean, for all agents alike.
func (a *API) targetMetadata(q *request) (answer, error) {
	limit, err := q.whole("limit")
	if err != nil {
		return answer{}, err
	}
	metric, found := q.form.Get("metric"), []describedOf{}
	for _, f := range a.families() {
		if metric != "" && f.Name != metric || limit >= 0 && len(found) >= limit {
			continue
		}
		d := describedOf{Target: map[string]string{"job": "amoskys"}, described: described{f.Type, f.Help, f.Unit}}
		if metric == "" {
			d.Metric = f.Name
		}
		found = append(found, d)
	}
	return made(found), nil
}

// alertmanager is where alerts go.
type alertmanager struct {
	URL string `json:"url"`
}

// alertmanagers answers where alerts go: into the log, to no Alertmanager.
func (*API) alertmanagers(*request) (answer, error) {
	return made(map[string][]alertmanager{"activeAlertmanagers": {}, "droppedAlertmanagers": {}}), nil
}

// target is who numbers come from: an agent. Nobody is scraped, so that there is no
// address, and the time is that of its newest sample.
type target struct {
	DiscoveredLabels   map[string]string `json:"discoveredLabels"`
	Labels             map[string]string `json:"labels"`
	ScrapePool         string            `json:"scrapePool"`
	ScrapeURL          string            `json:"scrapeUrl"`
	GlobalURL          string            `json:"globalUrl"`
	LastError          string            `json:"lastError"`
	LastScrape         time.Time         `json:"lastScrape"`
	LastScrapeDuration float64           `json:"lastScrapeDuration"`
	Health             string            `json:"health"`
	ScrapeInterval     string            `json:"scrapeInterval"`
	ScrapeTimeout      string            `json:"scrapeTimeout"`
}

// targetList is what targets answers.
type targetList struct {
	Active  []target       `json:"activeTargets"`
	Dropped []target       `json:"droppedTargets"`
	Counts  map[string]int `json:"droppedTargetCounts"`
}

// agentsQuery finds who has reported in the last hour, and when last. Agents report
// themselves by amoskys_agent_*.
const agentsQuery = `max by (agent, host) (ts_of_last_over_time({__name__=~"amoskys_agent_.+"}[1h]))`

// targets answers with the agents.
func (a *API) targets(q *request) (answer, error) {
	state := strings.ToLower(q.form.Get("state"))
	if state != "" && state != "any" && state != "active" && state != "dropped" {
		return answer{}, badParameter("state", fmt.Errorf("not supported value %q", shortened(state)))
	}
	all := targetList{Active: []target{}, Dropped: []target{}, Counts: map[string]int{}}
	if pool := q.form.Get("scrapePool"); state == "dropped" || pool != "" && pool != "amoskys" {
		return made(all), nil
	}
	agents, err := a.agents(q.ctx, q.now)
	if err != nil {
		return answer{}, err
	}
	for _, s := range agents {
		t := target{
			Labels: s.Metric.Map(), DiscoveredLabels: s.Metric.Map(), ScrapePool: "amoskys", Health: "up",
			LastScrape: time.UnixMilli(int64(s.F * 1000)).UTC(),
		}
		t.Labels["job"] = "amoskys"
		if q.now.Sub(t.LastScrape) > a.o.Limits.Lookback {
			t.Health, t.LastError = "down", "no sample since "+t.LastScrape.Format(time.RFC3339)
		}
		all.Active = append(all.Active, t)
	}
	slices.SortFunc(all.Active, func(x, y target) int {
		return cmp.Or(cmp.Compare(x.Labels["host"], y.Labels["host"]), cmp.Compare(x.Labels["agent"], y.Labels["agent"]))
	})
	return made(all), nil
}

// errNotVector is what cannot be: the query for agents is our own.
var errNotVector = errors.New("the query for agents gave no vector")

// agents are those who reported of late, with the time of their newest sample in seconds.
func (a *API) agents(ctx context.Context, now time.Time) (promql.Vector, error) {
	query, err := a.engine.NewInstantQuery(ctx, a.o.Queryable, nil, agentsQuery, now)
	if err != nil {
		return nil, a.faultOf(err, "asking for agents")
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, a.faultOf(result.Err, "asking for agents")
	}
	vector, ok := result.Value.(promql.Vector)
	if !ok {
		return nil, errNotVector
	}
	return slices.Clone(vector), nil
}
