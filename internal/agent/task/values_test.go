package task

import (
	"bytes"
	"strings"
	"testing"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestCheck(t *testing.T) {
	if err := Check(declared()); err != nil {
		t.Fatal(err)
	}
	for want, task := range map[string]Task{
		"name is not":              {Name: "Scan Now", Summary: "x"},
		"no summary":               {Name: "scan"},
		"result may have":          {Name: "scan", Summary: "x", ResultBytes: MaxResultBytes + 1},
		"may take":                 {Name: "scan", Summary: "x", Duration: 2 * time.Hour},
		"16 are possible":          {Name: "scan", Summary: "x", Parameters: make([]Parameter, 17)},
		"no type":                  {Name: "scan", Summary: "x", Parameters: []Parameter{{Name: "p", Summary: "x"}}},
		"required and has":         {Name: "scan", Summary: "x", Parameters: []Parameter{{Name: "p", Summary: "x", Type: String, Required: true, Default: "y"}}},
		`default: "" is not a`:     {Name: "scan", Summary: "x", Parameters: []Parameter{{Name: "p", Summary: "x", Type: Integer}}},
		"must be from 1 to 10 sec": {Name: "scan", Summary: "x", Parameters: []Parameter{{Name: "p", Summary: "x", Type: Duration, Default: "1m", Min: 1, Max: 10}}},
		"none of a, b":             {Name: "scan", Summary: "x", Parameters: []Parameter{{Name: "p", Summary: "x", Type: String, Default: "c", Values: []string{"a", "b"}}}},
	} {
		if err := Check([]Task{task}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := Check([]Task{declared()[0], declared()[0]}); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("two of one name: %v", err)
	}
}

func TestValuesAndMessages(t *testing.T) {
	task := Task{Name: "t", Summary: "x", ResultType: "a/b", Parameters: []Parameter{
		{Name: "i", Summary: "x", Type: Integer, Default: "7"},
		{Name: "n", Summary: "x", Type: Number, Default: "0.5"},
		{Name: "b", Summary: "x", Type: Boolean, Default: "true"},
		{Name: "d", Summary: "x", Type: Duration, Default: "90s"},
		{Name: "s", Summary: "x", Type: String},
	}}
	v, err := task.Parse(map[string]string{"s": "text"})
	if err != nil || v.Int("i") != 7 || v.Float("n") != 0.5 || !v.Bool("b") || v.Span("d") != 90*time.Second || v.Text("s") != "text" || v.Int("none") != 0 {
		t.Errorf("%v, %v", v, err)
	}
	for _, bad := range []map[string]string{{"n": "NaN"}, {"n": "+Inf"}, {"b": "yes"}, {"d": "5"}, {"s": "\xff"}, {"i": "9223372036854775808"}} {
		if v, err := task.Parse(bad); err == nil {
			t.Errorf("%v gives %v", bad, v)
		}
	}
	m := Messages([]Task{task}, map[string]string{task.Name: "not now"})[0]
	if m.GetMaxResultBytes() != MaxResultBytes || m.GetMaxDuration().AsDuration() != DefaultDuration || len(m.GetParameters()) != 5 || m.GetUnavailable() != "not now" {
		t.Errorf("%v", m)
	}
	for state := range map[State]bool{Running: true, Succeeded: true, Failed: true, Cancelled: true, TimedOut: true, Stuck: true} {
		if p := (Progress{State: state}).Message(runA); p.GetState() == pb.TaskState_TASK_STATE_UNSPECIFIED {
			t.Errorf("%s has no wire form", state)
		}
	}
	var out bytes.Buffer
	if _, err := NewCall("t", v, &out, nil).Write([]byte("x")); err != nil || out.String() != "x" {
		t.Error(err)
	}
	if _, err := NewCall("t", v, nil, nil).Write([]byte("x")); err == nil {
		t.Error("a task without a result wrote one")
	}
}

// FuzzParse: a caller sends anything.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "1e400", "NaN", "true", "9s", "99999999999999999999", "\xff", "a\x00b", strings.Repeat("9", 2000), "0x1p-1074", "1h1h1h"} {
		f.Add("i", seed)
		f.Add("d", seed)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		task := Task{Name: "t", Parameters: []Parameter{
			{Name: "i", Type: Integer, Default: "1", Min: 0, Max: 9},
			{Name: "n", Type: Number, Default: "1"},
			{Name: "b", Type: Boolean, Default: "true"},
			{Name: "d", Type: Duration, Default: "1s", Min: 0, Max: 60},
			{Name: "s", Type: String},
		}}
		v, err := task.Parse(map[string]string{name: value})
		if err != nil {
			return
		}
		if n := v.Int("i"); n < 0 || n > 9 {
			t.Errorf("i is %d", n)
		}
		if d := v.Span("d"); d < 0 || d > time.Minute {
			t.Errorf("d is %v", d)
		}
		if again, err := task.Parse(map[string]string{name: v[name]}); err != nil || again[name] != v[name] {
			t.Errorf("%q is not canonical: %v, %v", v[name], again, err)
		}
	})
}
