// Package task is what people ask an agent to do once, such as a look at
// everything now: how an agent declares its tasks, what it is given when one
// runs, and how its node asks for that.
//
// A task is declared in agent.Definition and carried out by the agent itself
// (agent.Tasker). Between them stands a Server in the agent's process; the node
// reaches it with a Client, over a Unix socket in the agent's data folder that
// only the agent's own user may open. docs/agents.md describes the whole way.
package task

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds of every task.
const (
	MaxResultBytes  = 64 << 20
	MaxDuration     = time.Hour
	DefaultDuration = time.Minute
	// MaxTextBytes bounds a progress text and a parameter's value.
	MaxTextBytes = 1 << 10
	// MaxParameters and MaxParameterBytes bound what a caller sends.
	MaxParameters     = 16
	MaxParameterBytes = 4 << 10
	// MaxRunning is how many tasks of one agent run at a time.
	MaxRunning = 2
	// KeepResult is how long an agent keeps a result.
	KeepResult = time.Hour
)

// Task is one thing that an agent can be asked to do.
type Task struct {
	Name       string // such as "snapshot": lower-case words joined by "_"
	Summary    string // one line for lists
	Parameters []Parameter
	// ResultType is the media type of what the task writes; empty means that it
	// has no result.
	ResultType string
	// ResultBytes bounds the result; 0 means MaxResultBytes.
	ResultBytes int64
	// Duration is how long the task may take; 0 means DefaultDuration.
	Duration time.Duration
}

// Type is the type of a parameter.
type Type = pb.TaskParameterType

// The types of parameters.
const (
	String   = pb.TaskParameterType_TASK_PARAMETER_TYPE_STRING
	Integer  = pb.TaskParameterType_TASK_PARAMETER_TYPE_INTEGER
	Number   = pb.TaskParameterType_TASK_PARAMETER_TYPE_NUMBER
	Boolean  = pb.TaskParameterType_TASK_PARAMETER_TYPE_BOOLEAN
	Duration = pb.TaskParameterType_TASK_PARAMETER_TYPE_DURATION
)

// Parameter is one thing that a task can be told.
type Parameter struct {
	Name, Summary string
	Type          Type
	Default       string // of what the caller does not say
	Required      bool
	Values        []string // the only ones allowed; nil allows all
	Min, Max      float64  // of a number, or of a duration in seconds; both 0: no bounds
}

// errDeclared is a task that its agent declares wrongly.
var errDeclared = errors.New("wrong task")

// word is the form of names of tasks and parameters.
var word = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// Check reports what is wrong with an agent's tasks.
func Check(tasks []Task) error {
	var faults []error
	for i, t := range tasks {
		wrong := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%w %q: %s", errDeclared, t.Name, fmt.Sprintf(format, args...)))
		}
		switch {
		case !word.MatchString(t.Name) || len(t.Name) > 64:
			wrong("its name is not of lower-case words")
		case slices.ContainsFunc(tasks[:i], func(o Task) bool { return o.Name == t.Name }):
			wrong("its name is taken")
		}
		if t.Summary == "" {
			wrong("it has no summary")
		}
		if t.ResultBytes < 0 || t.ResultBytes > MaxResultBytes {
			wrong("its result may have %d bytes, at most %d are possible", t.ResultBytes, MaxResultBytes)
		}
		if t.Duration < 0 || t.Duration > MaxDuration {
			wrong("it may take %v, at most %v are possible", t.Duration, MaxDuration)
		}
		if len(t.Parameters) > MaxParameters {
			wrong("it has %d parameters, at most %d are possible", len(t.Parameters), MaxParameters)
		}
		for _, p := range t.Parameters {
			if err := p.check(); err != nil {
				wrong("parameter %q: %v", p.Name, err)
			}
		}
	}
	return errors.Join(faults...)
}

// check reports what is wrong with a declaration.
func (p *Parameter) check() error {
	switch {
	case !word.MatchString(p.Name):
		return errors.New("its name is not of lower-case words")
	case p.Summary == "":
		return errors.New("it has no summary")
	case p.Type == pb.TaskParameterType_TASK_PARAMETER_TYPE_UNSPECIFIED:
		return errors.New("it has no type")
	case p.Required && p.Default != "":
		return errors.New("it is required and has a default")
	case p.Required || p.Default == "" && p.Type == String:
		return nil
	}
	if _, err := p.canonical(p.Default); err != nil {
		return fmt.Errorf("its default: %w", err)
	}
	return nil
}

func (t *Task) resultBytes() int64 {
	if t.ResultBytes == 0 {
		return MaxResultBytes
	}
	return t.ResultBytes
}

func (t *Task) duration() time.Duration {
	if t.Duration == 0 {
		return DefaultDuration
	}
	return t.Duration
}

// Messages is the wire form of tasks. unavailable says why some cannot be done, by name.
func Messages(tasks []Task, unavailable map[string]string) []*pb.Task {
	out := make([]*pb.Task, 0, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		m := &pb.Task{Name: t.Name, Summary: t.Summary, ResultType: t.ResultType, MaxDuration: durationpb.New(t.duration()), Unavailable: plain(unavailable[t.Name])}
		if t.ResultType != "" {
			m.MaxResultBytes = uint64(t.resultBytes())
		}
		for _, p := range t.Parameters {
			m.Parameters = append(m.Parameters, &pb.TaskParameter{
				Name: p.Name, Summary: p.Summary, Type: p.Type, Default: p.Default, Required: p.Required,
				Values: p.Values, Min: p.Min, Max: p.Max,
			})
		}
		out = append(out, m)
	}
	return out
}
