package trap

import "sync"

const (
	// window is how much older than the newest message of an engine another may be, in
	// seconds: what is further apart is a replay (RFC 3414, section 3.2, 7b).
	window = 150
	// maxClocks is how many engines are remembered; of more, nothing is refused.
	maxClocks = 4096
)

// clocks remember the newest time of each engine that has proven who it is. The zero value
// is ready.
type clocks struct {
	mu sync.Mutex // guards at
	at map[string]engineTime
}

// engineTime is snmpEngineBoots and snmpEngineTime.
type engineTime struct{ boots, seconds int64 }

// accept says whether a proven message is new enough, and remembers its time:
//
//	boots against the newest | seconds                      | is
//	-------------------------+------------------------------+--------
//	more                     | any                          | taken, and the newest
//	as many                  | at most window before it     | taken
//	as many                  | more before                  | refused
//	fewer                    | any                          | refused
//
// An engine that was made anew and has lost its boots is refused until they are as many
// again: RFC 3414 has it so, as nothing tells it from a replay.
func (c *clocks) accept(engine string, boots, seconds int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, known := c.at[engine]
	switch {
	case !known && len(c.at) >= maxClocks:
		return true
	case known && (boots < newest.boots || boots == newest.boots && seconds < newest.seconds-window):
		return false
	case known && boots == newest.boots && seconds <= newest.seconds:
		return true
	}
	if c.at == nil {
		c.at = map[string]engineTime{}
	}
	c.at[engine] = engineTime{boots, seconds}
	return true
}
