package spans

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/config"
)

// collector posts traces as OTLP over HTTP, packed with gzip
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). OpenTelemetry's own client brings
// grpc-gateway with it, and settings of its own from the environment; a request is this
// little.
type collector struct {
	url    string
	header func() (http.Header, error)
	http   *http.Client
}

var _ otlptrace.Client = (*collector)(nil)

func newCollector(o *Options) (*collector, error) {
	address, err := o.Config.address()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if file := o.Config.CACert; file != "" {
		pem, err := os.ReadFile(o.Home.Path(file))
		if err != nil {
			return nil, fmt.Errorf("read otel.ca_cert: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read otel.ca_cert: %s holds no certificate", file)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &collector{
		url: address, header: headerOf(o.Home, o.Config.Headers, "amoskys-"+o.Service+"/"+o.Version),
		http: &http.Client{Transport: transport, CheckRedirect: stay},
	}, nil
}

// stay follows no redirection: what is sent, secrets in headers among it, was not meant
// for another.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// headerOf are the headers of a request, with secrets as they are then.
func headerOf(home config.Home, own map[string]config.Secret, agent string) func() (http.Header, error) {
	return func() (http.Header, error) {
		h := http.Header{}
		for name, secret := range own {
			text, err := secret.RevealIn(home)
			if err != nil {
				return nil, fmt.Errorf("otel.headers.%s: %w", name, err)
			}
			h.Set(name, text)
		}
		h.Set("Content-Type", "application/x-protobuf")
		h.Set("Content-Encoding", "gzip")
		h.Set("User-Agent", agent)
		return h, nil
	}
}

// Start implements otlptrace.Client. Nothing is connected before there is something to send.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *collector) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// partlyError says that the collector took a request without some of its spans.
type partlyError struct{ refused int64 }

func (p *partlyError) Error() string {
	return fmt.Sprintf("the collector refused %d spans", p.refused)
}

// maxAnswer and maxSaid bound what is read of an answer, and what of it is told, in bytes.
const (
	maxAnswer = 64 << 10
	maxSaid   = 300
)

// UploadTraces sends one request, once.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans}) // as ExportTraceServiceRequest is on the wire
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, &packed)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	if req.Header, err = c.header(); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if u, is := errors.AsType[*url.Error](err); is {
		err = u.Err // the rest is the address, which may hold a token
	}
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		said := strings.Join(strings.Fields(strings.ToValidUTF8(string(answer[:min(len(answer), maxSaid)]), "?")), " ")
		return fmt.Errorf("it answers %s: %s", resp.Status, said)
	}
	if err != nil {
		return nil //nolint:nilerr // it was taken
	}
	if n := refused(answer); n > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-protobuf") {
		return &partlyError{refused: n}
	}
	return nil
}

// Fields of ExportTraceServiceResponse and of ExportTracePartialSuccess in it
// (opentelemetry/proto/collector/trace/v1/trace_service.proto).
const (
	partialSuccess = 1
	rejectedSpans  = 1
)

// refused is how many spans an answer says were refused; 0 where it is not understood.
func refused(answer []byte) int64 {
	part, ok := field(answer, partialSuccess, protowire.BytesType)
	if !ok {
		return 0
	}
	inner, n := protowire.ConsumeBytes(part)
	if n < 0 {
		return 0
	}
	count, ok := field(inner, rejectedSpans, protowire.VarintType)
	if !ok {
		return 0
	}
	v, n := protowire.ConsumeVarint(count)
	if n < 0 || int64(v) < 0 {
		return 0
	}
	return int64(v)
}

// field returns what of a message begins with the value of a field.
func field(message []byte, number protowire.Number, kind protowire.Type) ([]byte, bool) {
	for len(message) > 0 {
		at, is, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		if at == number && is == kind {
			return message, true
		}
		if n = protowire.ConsumeFieldValue(at, is, message); n < 0 {
			return nil, false
		}
		message = message[n:]
	}
	return nil, false
}
