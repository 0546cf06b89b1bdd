package promapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// FuzzParameters: any path with any parameters gets JSON and a status that means
// something, by GET and by POST.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"query?query=1&time=NaN", "query_range?query=rate(a[5m])&start=0&end=1e300&step=1e-9", "query_range?query=a&start=-1&end=1&step=1y&limit=99999999999999999999",
		"query?query=a&timeout=-1&lookback_delta=1e18&stats=x", "label/U__a_20_/values?match[]=a&match[]={}", "label//values", "series?match[]=a&start=x&end=y&limit=-1",
		"labels?match[]={a=~\"(\"}", "metadata?limit=x&limit_per_metric=1", "parse_query?query=sum by (a) (b) / on (c) group_left d", "format_query?query=a%00",
		"query_exemplars?query=a[1m:]&start=-9e15&end=9e15", "targets?state=any", "rules?type=alert", "status/tsdb?limit=-9", "query?query=%ff", "query?%zz", "query?query=-a @ end() offset -1w",
		"query?query=histogram_quantile(0.9, rpc)&time=1970-01-01T00:00:01.5%2B01:00", "query?time=292277025-08-18T07:12:54.999999999Z&query=a",
	} {
		f.Add(seed)
	}
	api := newAPI(f, func(o *promapi.Options) {
		o.Limits = promapi.Limits{Timeout: 2 * time.Second, Samples: 10_000, AnswerBytes: 1 << 20}
	})
	f.Fuzz(func(t *testing.T, text string) {
		path, query, _ := strings.Cut(text, "?")
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/api/v1/", strings.NewReader(query))
			r.URL = &url.URL{Path: "/api/v1/" + path, RawQuery: query}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			switch code, body := send(t, api, r); code {
			case 200, 400, 404, 422, 503:
			default:
				t.Errorf("%s %q: %d %s", method, text, code, body)
			}
		}
	})
}
