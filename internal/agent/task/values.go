package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/config"
)

// Values are the parameters of a run, each of its declared type. Asking for one
// that the task does not declare gives the zero value.
type Values map[string]string

// Text is a string parameter.
func (v Values) Text(name string) string { return v[name] }

// Int is an integer parameter.
func (v Values) Int(name string) int64 {
	n, _ := strconv.ParseInt(v[name], 10, 64) // checked by Parse
	return n
}

// Float is a number.
func (v Values) Float(name string) float64 {
	n, _ := strconv.ParseFloat(v[name], 64) // checked by Parse
	return n
}

// Bool is a boolean.
func (v Values) Bool(name string) bool { return v[name] == "true" }

// Span is a duration.
func (v Values) Span(name string) time.Duration {
	d, _ := time.ParseDuration(v[name]) // checked by Parse
	return d
}

// Parse checks what a caller sent, which may be anything, against what the task
// takes, and fills in defaults. The error names every fault.
func (t *Task) Parse(given map[string]string) (Values, error) {
	if err := CheckSize(given); err != nil {
		return nil, err
	}
	var faults []error
	names := make([]string, len(t.Parameters))
	for i, p := range t.Parameters {
		names[i] = p.Name
	}
	for name := range given {
		if !slices.Contains(names, name) {
			faults = append(faults, unknownParameter(t.Name, name, names))
		}
	}
	out := Values{}
	for i := range t.Parameters {
		p := &t.Parameters[i]
		text, said := given[p.Name]
		switch {
		case !said && p.Required:
			faults = append(faults, fmt.Errorf("parameter %s is required: %s", p.Name, p.Summary))
			continue
		case !said:
			text = p.Default
		}
		if !said && text == "" && p.Type == String {
			continue
		}
		value, err := p.canonical(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("parameter %s: %w", p.Name, err))
			continue
		}
		out[p.Name] = value
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return out, nil
}

// CheckSize bounds parameters before anybody looks at what they say.
func CheckSize(given map[string]string) error {
	if len(given) > MaxParameters {
		return fmt.Errorf("%d parameters, at most %d are possible", len(given), MaxParameters)
	}
	size := 0
	for name, value := range given {
		size += len(name) + len(value)
	}
	if size > MaxParameterBytes {
		return fmt.Errorf("parameters of %d bytes, at most %d are possible", size, MaxParameterBytes)
	}
	return nil
}

func unknownParameter(task, name string, names []string) error {
	switch near := config.Nearest(name, names); {
	case near != "":
		return fmt.Errorf("task %s has no parameter %.64q, did you mean %q?", task, name, near)
	case len(names) == 0:
		return fmt.Errorf("task %s has no parameters, and so not %.64q", task, name)
	default:
		return fmt.Errorf("task %s has no parameter %.64q; it has %s", task, name, strings.Join(names, ", "))
	}
}

// canonical checks one value and returns its usual form.
func (p *Parameter) canonical(text string) (string, error) {
	if len(text) > MaxTextBytes || !utf8.ValidString(text) {
		return "", fmt.Errorf("must be UTF-8 text of at most %d bytes", MaxTextBytes)
	}
	if len(p.Values) > 0 && !slices.Contains(p.Values, text) {
		return "", fmt.Errorf("%.64q is none of %s", text, strings.Join(p.Values, ", "))
	}
	switch p.Type {
	case Integer:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%.64q is not a whole number", text)
		}
		return strconv.FormatInt(n, 10), p.bound(text, float64(n))
	case Number:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return "", fmt.Errorf("%.64q is not a number", text)
		}
		return strconv.FormatFloat(n, 'g', -1, 64), p.bound(text, n)
	case Boolean:
		if text != "true" && text != "false" {
			return "", fmt.Errorf("%.64q is neither true nor false", text)
		}
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return "", fmt.Errorf("%.64q is not a duration such as 1m30s", text)
		}
		return d.String(), p.bound(text, d.Seconds())
	case String:
	default:
		return "", errors.New("it has no type")
	}
	return text, nil
}

func (p *Parameter) bound(text string, n float64) error {
	if p.Max <= p.Min || n >= p.Min && n <= p.Max {
		return nil
	}
	unit := ""
	if p.Type == Duration {
		unit = " seconds"
	}
	return fmt.Errorf("%s must be from %v to %v%s", text, p.Min, p.Max, unit)
}
