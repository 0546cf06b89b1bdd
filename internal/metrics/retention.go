package metrics

import (
	"cmp"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
)

// outlived chooses the blocks that go: those which the database has no more use for, those
// older than the retention, and the oldest while all take more than they may. How old a
// block is, is told by the clock that is believed or the newest block, whichever is
// earlier, so that a clock which was set ahead removes nothing. t is nil while the database
// is being opened.
func (db *DB) outlived(t *tsdb.DB, blocks []*tsdb.Block) map[ulid.ULID]struct{} {
	gone := map[ulid.ULID]struct{}{}
	newestFirst := slices.SortedFunc(slices.Values(blocks), func(a, b *tsdb.Block) int {
		return cmp.Compare(b.Meta().MaxTime, a.Meta().MaxTime)
	})
	if len(newestFirst) == 0 {
		return gone
	}
	now := min(db.o.Now().UnixMilli(), newestFirst[0].Meta().MaxTime+blockRange.Milliseconds())
	oldest := now - db.o.Retention.Milliseconds()
	bytes := int64(0)
	if t != nil {
		bytes = t.Head().Size()
	}
	full := false
	for _, b := range newestFirst {
		meta := b.Meta()
		bytes += b.Size()
		full = full || db.o.RetentionBytes > 0 && bytes > db.o.RetentionBytes
		if meta.Compaction.Deletable || meta.MaxTime <= oldest || full {
			gone[meta.ULID] = struct{}{}
		}
	}
	return gone
}
