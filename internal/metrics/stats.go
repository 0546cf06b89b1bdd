package metrics

import "github.com/prometheus/prometheus/tsdb"

// Stats counts the series in memory by name and by labels, at most a number of each. It
// takes some milliseconds for each 10,000 series.
func (db *DB) Stats(most int) (*tsdb.Stats, error) {
	t, release, err := db.use()
	if err != nil {
		return nil, err
	}
	defer release()
	return t.Head().Stats("__name__", most), nil
}
