package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// board is one dashboard. Its uid in Grafana is "amoskys-" and its name.
type board struct {
	name, title, about string
	// by are the variables beside the data source: each a label of a metric.
	by   []choice
	rows []row
}

// choice lets people choose among the values that a label of a metric has.
type choice struct{ label, metric, title string }

// row is a line of panels under a title, whose widths add up to whole lines of 24.
type row struct {
	title  string
	panels []panel
}

// panel is a chart, a figure, a ranking or a list.
type panel interface {
	builder() cog.Builder[dashboard.Panel]
}

// source is the data source that all panels ask: the one chosen at the top.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// build makes the dashboard.
func (b board) build() (dashboard.Dashboard, error) { //nolint:staticcheck // what files for provisioning have
	d := dashboard.NewDashboardBuilder("AMOSKYS: "+b.title). //nolint:staticcheck // the same
									Uid("amoskys-"+b.name).Description(b.about).Tags([]string{"amoskys"}).
									Time("now-1h", "now").Refresh("30s").Timezone(common.TimeZoneBrowser).
									Tooltip(dashboard.DashboardCursorSyncCrosshair).
									Link(dashboard.NewDashboardLinkBuilder("AMOSKYS").Type(dashboard.DashboardLinkTypeDashboards).
										Tags([]string{"amoskys"}).AsDropdown(true).KeepTime(true).IncludeVars(true)).
									WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus").
										Current(option("AMOSKYS", "amoskys")))
	for _, c := range b.by {
		d.WithVariable(c.builder())
	}
	for _, r := range b.rows {
		d.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			d.WithPanel(p.builder())
		}
	}
	made, err := d.Build()
	if err != nil {
		return made, fmt.Errorf("make the dashboard: %w", err)
	}
	number(&made)
	return made, nil
}

// number gives each panel a number, by which links and alerts find it again.
func number(d *dashboard.Dashboard) { //nolint:staticcheck // the same
	next := uint32(1)
	for _, p := range d.Panels {
		switch {
		case p.Panel != nil:
			p.Panel.Id = new(next)
		case p.RowPanel != nil:
			p.RowPanel.Id = next
		}
		next++
	}
}

// builder is a variable of all values, of which one may choose several.
func (c choice) builder() cog.Builder[dashboard.VariableModel] {
	query := fmt.Sprintf("label_values(%s, %s)", c.metric, c.label)
	return dashboard.NewQueryVariableBuilder(c.label).Label(c.title).Datasource(source()).
		Query(dashboard.StringOrMap{String: &query}).Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortNaturalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").Current(option("All", "$__all"))
}

// option is what a variable is at first.
func option(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: new(true),
		Text:     dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value},
	}
}
