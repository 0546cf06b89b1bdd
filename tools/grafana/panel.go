package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Units of Grafana that panels have.
const (
	plain          = units.Short
	bytesOf        = units.BytesIEC
	bytesPerSecond = units.BytesPerSecondSI
	percent        = units.Percent
	share          = units.PercentUnit
	seconds        = units.Seconds
	milliseconds   = units.Milliseconds
	perSecond      = units.CountsPerSecond
	eventsASecond  = units.EventsPerSecond
	packetsASecond = units.PacketsPerSecond
)

// Sizes on Grafana's grid, which is 24 wide.
const (
	chartWidth, chartHeight   = 12, 8
	figureWidth, figureHeight = 4, 4
)

// query is what a panel asks, and how its lines are called.
type query struct{ expr, legend string }

// chart shows values over time.
type chart struct {
	title, about, unit string
	// every is how far apart values are that come more seldom than each 15 s, so that
	// $__rate_interval spans several of them.
	every   string
	stacked bool
	wide    bool // the whole line
	// exemplars shows those of the queries' histograms, as points.
	exemplars bool
	queries   []query
}

func (c chart) builder() cog.Builder[dashboard.Panel] {
	width := uint32(chartWidth)
	if c.wide {
		width *= 2
	}
	p := timeseries.NewPanelBuilder().Title(c.title).Description(c.about).Datasource(source()).
		Height(chartHeight).Span(width).Unit(c.unit).Min(0).
		LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeAuto).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).
			ShowLegend(true).Calcs([]string{"lastNotNull", "max"}))
	if c.every != "" {
		p.Interval(c.every)
	}
	if c.stacked {
		p.FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	}
	for i, q := range c.queries {
		p.WithTarget(prometheus.NewDataqueryBuilder().RefId(letter(i)).Expr(q.expr).LegendFormat(q.legend).
			Range().Exemplar(c.exemplars).EditorMode(prometheus.QueryEditorModeCode))
	}
	return p
}

// figure shows one number: its last value, and its past as a line.
type figure struct {
	title, about, unit, expr string
	// warn and fail are from where on the number is yellow and red; 0: never. With below
	// they are under which it is.
	warn, fail float64
	below      bool
}

func (f figure) builder() cog.Builder[dashboard.Panel] {
	p := stat.NewPanelBuilder().Title(f.title).Description(f.about).Datasource(source()).
		Height(figureHeight).Span(figureWidth).Unit(f.unit).NoValue("–").
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Thresholds(f.thresholds())
	return p.WithTarget(prometheus.NewDataqueryBuilder().RefId(letter(0)).Expr(f.expr).
		Range().Exemplar(false).EditorMode(prometheus.QueryEditorModeCode))
}

// thresholds are its colours.
func (f figure) thresholds() cog.Builder[dashboard.ThresholdsConfig] {
	first, steps := "green", []dashboard.Threshold{}
	step := func(from float64, colour string) {
		steps = append(steps, dashboard.Threshold{Value: &from, Color: colour})
	}
	switch {
	case f.below:
		first = "red"
		if f.warn > f.fail {
			step(f.fail, "yellow")
		}
		step(max(f.warn, f.fail), "green")
	default:
		if f.warn > 0 {
			step(f.warn, "yellow")
		}
		if f.fail > 0 {
			step(f.fail, "red")
		}
	}
	steps = append([]dashboard.Threshold{{Color: first}}, steps...)
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// ranking shows the highest values of the time range as bars.
type ranking struct {
	title, about, unit, expr, legend string
}

func (r ranking) builder() cog.Builder[dashboard.Panel] {
	return bargauge.NewPanelBuilder().Title(r.title).Description(r.about).Datasource(source()).
		Height(chartHeight).Span(chartWidth).Unit(r.unit).Min(0).
		Orientation(common.VizOrientationHorizontal).DisplayMode(common.BarGaugeDisplayModeBasic).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor("blue")).
		WithTarget(prometheus.NewDataqueryBuilder().RefId(letter(0)).Expr("sort_desc(" + r.expr + ")").LegendFormat(r.legend).
			Instant().Exemplar(false).EditorMode(prometheus.QueryEditorModeCode))
}

// list is a table: a line for each thing, a column for each query, joined by what they
// have in common.
type list struct {
	title, about string
	// without are labels that are not shown.
	without []string
	columns []column
}

// column is one query of a list.
type column struct{ title, unit, expr string }

func (l list) builder() cog.Builder[dashboard.Panel] {
	p := table.NewPanelBuilder().Title(l.title).Description(l.about).Datasource(source()).
		Height(chartHeight).Span(2 * chartWidth).Filterable(true).
		WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	hidden := map[string]bool{"Time": true}
	for _, name := range l.without {
		hidden[name] = true
	}
	p.WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{"excludeByName": hidden}})
	for i, c := range l.columns {
		p.WithTarget(prometheus.NewDataqueryBuilder().RefId(letter(i)).Expr(c.expr).Format(prometheus.PromQueryFormatTable).
			Instant().Exemplar(false).EditorMode(prometheus.QueryEditorModeCode))
		name := "Value #" + letter(i)
		if len(l.columns) == 1 {
			name = "Value"
		}
		p.OverrideByName(name, []dashboard.DynamicConfigValue{{Id: "displayName", Value: c.title}, {Id: "unit", Value: c.unit}})
	}
	return p
}

// letter is the name of a query: A, B, C.
func letter(i int) string { return string(rune('A' + i)) }
