package vlogs

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
)

// ParseRow is parseRow.
func ParseRow(line string) ([]Field, error) { return parseRow(line, nil) }

// Post is how other formats of insertion are measured.
func (c *Client) Post(ctx context.Context, path, encoding string, args url.Values, data []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path+"?"+args.Encode(), bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Encoding", encoding)
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = refusal(answer.StatusCode, text)
	}
	return err
}
