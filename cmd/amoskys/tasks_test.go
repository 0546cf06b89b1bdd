package main

import (
	"maps"
	"strings"
	"testing"
)

func TestTaskParameters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		params []string
		want   map[string]string
		fault  string
	}{
		{"none", nil, map[string]string{}, ""},
		{"values may have = and be empty", []string{"events=5000", "targets=a=b", "ports="}, map[string]string{"events": "5000", "targets": "a=b", "ports": ""}, ""},
		{"no value", []string{"events"}, nil, `"events" is no parameter: write NAME=VALUE`},
		{"no name", []string{"=5"}, nil, `"=5" is no parameter`},
		{"twice", []string{"rate=1", "rate=2"}, nil, "rate is given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := taskParameters(tt.params)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want %q", err, tt.fault)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}
