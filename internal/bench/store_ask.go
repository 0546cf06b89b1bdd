package bench

import (
	"context"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// storeQuestion is what is asked; Back is how far back in time, 0 for everything.
type storeQuestion struct {
	name, text string
	back       time.Duration
	limit      int
}

// storeQuestions are what people ask, in the engine's words.
func storeQuestions() []storeQuestion {
	return []storeQuestion{
		{name: "last 100 of an agent, ten minutes", text: `host:="host-00007" agent:="proc_agent"`, back: 10 * time.Minute, limit: 100},
		{name: "last 100 of an agent, an hour", text: `host:="host-00007" agent:="proc_agent"`, back: time.Hour, limit: 100},
		{name: "rare word in a field", text: `process.command_line:qzxvwk`},
		{name: "rare word in any field", text: `*:qzxvwk`},
		{name: "count by minute and type, a day", text: `* | stats by (_time:1m, type) count() n`, back: 24 * time.Hour},
		{name: "count by hour and type", text: `* | stats by (_time:1h, type) count() n`},
		{name: "top 10 of process.name", text: `* | top 10 by (process.name)`},
		{name: "top 10 of host", text: `* | top 10 by (host)`},
		{name: "count of all", text: `* | count()`},
		{name: "live window of 15 s", text: `*`, back: 15 * time.Second, limit: 1000},
	}
}

// ask measures each question.
func (o *StoreOptions) ask(ctx context.Context, client *vlogs.Client) ([]StoreQuestion, error) {
	end := time.Now()
	var out []StoreQuestion
	for _, q := range storeQuestions() {
		o.tell("ask: %s", q.name)
		one := StoreQuestion{Name: q.name, Query: q.text}
		var took []float64
		for range o.Asks {
			ask := vlogs.Query{Text: q.text, End: end, Limit: q.limit}
			if q.back > 0 {
				ask.Start = end.Add(-q.back)
			}
			one.Rows = 0
			began := time.Now()
			if err := client.Query(ctx, ask, func([]vlogs.Field) error { one.Rows++; return nil }); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				one.Failed = err.Error()
				break
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
		if len(took) > 0 {
			slices.Sort(took)
			one.P50Ms, one.P95Ms = took[len(took)/2], took[min(len(took)-1, len(took)*95/100)]
		}
		out = append(out, one)
	}
	return out, nil
}
