package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// OpenAPI returns the description of the API as docs/openapi.json holds it.
func OpenAPI() ([]byte, error) {
	s := &Server{o: Options{Config: DefaultConfig(), Now: time.Now}, static: &static{}}
	s.overview = &overviews{server: s, made: map[overviewInput]*madeOverview{}}
	_, api := s.routes()
	text, err := json.Marshal(api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("describe API: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, fmt.Errorf("describe API: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
