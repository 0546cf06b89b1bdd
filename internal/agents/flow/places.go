package flow

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/flow/geo"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// placesEvery is how often the databases are looked at.
	placesEvery = 30 * time.Second
	// conditionGeo is the name of the condition that a database is not as it should be.
	conditionGeo = "geo"
)

// newAtlas opens the databases, or returns nil where there are none.
func newAtlas(a *Agent) *geo.Atlas {
	var paths []string
	for _, p := range []string{a.cfg.Geo.CityOrCountryDB, a.cfg.Geo.ASNDB} {
		if p != "" {
			paths = append(paths, a.o.Home.Path(p))
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return geo.New(paths...)
}

// followPlaces reads the databases again when they change, until ctx ends.
func (a *Agent) followPlaces(ctx context.Context) {
	tick := time.NewTicker(placesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.readPlaces()
		}
	}
}

// readPlaces reads what has changed, and tells what is wrong with it when that changes.
func (a *Agent) readPlaces() {
	err := a.queue.atlas.Refresh(a.o.Now())
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == a.geoFault {
		return
	}
	a.geoFault = text
	a.o.Condition(conditionGeo, err)
	if err != nil {
		a.o.Logger.Warn("countries and networks of flows may be missing or wrong", obs.KeyError, err)
	}
}
