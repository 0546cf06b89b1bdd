package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent is the id, and the kind, of who tells findings of alerts.
const Agent = "store"

// Bounds of what is told: labels and annotations of an alert, and the bytes of a text.
const (
	maxLabels = 32
	maxName   = 128
	maxText   = 2000
)

// Labels and annotations that have a meaning beside being shown. Names are those which
// others use, too.
const (
	labelSeverity         = "severity"
	annotationSummary     = "summary"
	annotationTitle       = "title"
	annotationDescription = "description"
	annotationMessage     = "message"
	annotationRunbook     = "runbook_url"
	annotationTechniques  = "techniques"
	annotationTactics     = "tactics"
	annotationFalse       = "false_positives"
)

// event is the encoded event that tells of an alert.
func (t *toldAlert) event(host, status string, at time.Time, why string) ([]byte, error) {
	id, err := event.NewID()
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	severity := severityOf(t.Labels[labelSeverity])
	a := t.Annotations
	title := cmp.Or(a[annotationSummary], a[annotationTitle], t.Rule)
	ev := &pb.Event{
		Id: id[:], Type: event.TypeMetricAlert, Time: timestamppb.New(at), Severity: severity,
		Agent: &pb.Agent{Id: Agent, Kind: Agent, Version: obs.ReadBuild().Version}, Host: &pb.Host{Name: host},
		Message: title,
		Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
			Uid: t.UID, Title: title, Description: t.describe(status, at, why),
			RuleId: "metric." + t.Rule, RuleName: t.Rule,
			Techniques: listed(a[annotationTechniques]), Tactics: listed(a[annotationTactics]), FalsePositives: listed(a[annotationFalse]),
			Confidence: 1, RiskScore: float64(severity) * 20, Status: status, Observables: t.observables(),
		}},
	}
	return event.Encode(ev) //nolint:wrapcheck // it says all
}

// describe is what the rule says of it, for how long it was so, and what to do.
func (t *toldAlert) describe(status string, at time.Time, why string) string {
	var parts []string
	if text := cmp.Or(t.Annotations[annotationDescription], t.Annotations[annotationMessage]); text != "" {
		if !strings.ContainsAny(text[len(text)-1:], ".!?:") {
			text += "."
		}
		parts = append(parts, text)
	}
	if status == event.FindingResolved {
		parts = append(parts, fmt.Sprintf("It has ended, after %s.", at.Sub(t.Began).Round(time.Second)))
	} else {
		parts = append(parts, fmt.Sprintf("So it is since %s; the value is %s.", t.Began.Format(time.RFC3339), t.Value))
	}
	if why != "" {
		parts = append(parts, why)
	}
	if url := t.Annotations[annotationRunbook]; url != "" {
		parts = append(parts, "What to do: "+url)
	}
	return strings.Join(parts, " ")
}

// observables are the labels, named as the attributes of events where there is one.
func (t *toldAlert) observables() map[string]string {
	named := map[string]string{
		"host": "host.name", "agent": "agent.id", "ip": "device.ip", "mac": "device.mac", "device": "device.name",
		"process": "process.name", "pid": "process.pid", "interface": "interface.name", "ifName": "interface.name",
	}
	all := map[string]string{"value": t.Value.String()}
	for name, value := range t.Labels {
		if name == "alertname" || name == labelSeverity {
			continue
		}
		all[cmp.Or(named[name], "label."+name)] = value
	}
	return all
}

// severityOf is the severity that a label names, medium where it names none.
func severityOf(word string) pb.Severity {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "info", "informational", "information", "none", "debug":
		return pb.Severity_SEVERITY_INFORMATIONAL
	case "low", "minor", "notice":
		return pb.Severity_SEVERITY_LOW
	case "high", "error", "major":
		return pb.Severity_SEVERITY_HIGH
	case "critical", "page", "emergency", "fatal":
		return pb.Severity_SEVERITY_CRITICAL
	default:
		return pb.Severity_SEVERITY_MEDIUM
	}
}

// listed are the items of a list that is separated by semicolons, or by commas where there
// is none.
func listed(text string) (items []string) {
	separator := ","
	if strings.Contains(text, ";") {
		separator = ";"
	}
	for item := range strings.SplitSeq(text, separator) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// shortened are texts by name, of which no more than most are kept, none longer than
// maxText.
func shortened(texts map[string]string, most int) map[string]string {
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if len(kept) == most {
			break
		}
		kept[cut(name, maxName)] = cut(texts[name], maxText)
	}
	return kept
}

// cut is a text of at most so many bytes, valid UTF-8.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// number is a value that JSON cannot hold if it is no number.
type number float64

// String has six digits that say something, and no exponent where people read without.
func (n number) String() string {
	short := strconv.FormatFloat(float64(n), 'g', 6, 64)
	if abs := math.Abs(float64(n)); abs < 1e-4 || abs >= 1e15 || !strings.Contains(short, "e") {
		return short
	}
	rounded, err := strconv.ParseFloat(short, 64)
	if err != nil {
		return short
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatFloat(float64(n), 'g', -1, 64)) //nolint:wrapcheck // a text
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("read a value: %w", err)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(v, 0) {
		return fmt.Errorf("read a value: %w", err)
	}
	*n = number(v)
	return nil
}
