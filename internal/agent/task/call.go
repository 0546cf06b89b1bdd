package task

import (
	"io"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Call is one run of a task, as the agent sees it.
type Call struct {
	Task   string
	Values Values
	// result takes what the task writes; nil for a task without one.
	result io.Writer
	report func(Progress)
}

// NewCall makes a call for the test of an agent: its result goes to w, and each
// progress to report, where they are not nil.
func NewCall(task string, values Values, w io.Writer, report func(Progress)) *Call {
	return &Call{Task: task, Values: values, result: w, report: report}
}

// Progress tells the caller how far the task is: done of total, which is 0 while
// it is not known, and in words what it does now. It may be called as often as
// the work goes on; only the newest is sent on, a few times a second.
func (c *Call) Progress(done, total uint64, text string) {
	if c.report != nil {
		c.report(Progress{State: Running, Done: done, Total: total, Text: text})
	}
}

// Write adds to the task's result, which is kept on disk. It fails when the disk
// does, or when the result would become larger than the task declares; the task
// returns that error then.
func (c *Call) Write(b []byte) (int, error) {
	if c.result == nil {
		return 0, errNoResult
	}
	return c.result.Write(b)
}

// State is where a run is in its life.
type State string

// The states of a run; all but Running are final. A run ends by this table:
//
//	the task returns | its context                | state
//	-----------------+----------------------------+----------
//	nil              | whatever                   | succeeded
//	an error         | alive                      | failed
//	an error         | cancelled                  | cancelled
//	an error         | beyond the task's duration | timed_out
//	nothing for 5 s  | ended, either way          | stuck
const (
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	TimedOut  State = "timed_out"
	Stuck     State = "stuck"
)

// Final reports whether nothing follows this state.
func (s State) Final() bool { return s != Running }

// Progress is how far a run is.
type Progress struct {
	State State  `json:"state"`
	Done  uint64 `json:"done,omitempty"`
	Total uint64 `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
	// ResultBytes is the size of the result so far.
	ResultBytes int64 `json:"result_bytes,omitempty"`
}

// Message is the wire form.
func (p Progress) Message(runID string) *pb.TaskProgress {
	return &pb.TaskProgress{
		RunId: runID, State: pb.TaskState(pb.TaskState_value["TASK_STATE_"+strings.ToUpper(string(p.State))]),
		Done: p.Done, Total: p.Total, Text: plain(p.Text), ResultBytes: uint64(max(p.ResultBytes, 0)),
	}
}

// plain bounds a text and makes it UTF-8.
func plain(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), MaxTextBytes)], "·")
}
