package service

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read of a page.
const (
	maxPage = 64 << 10
	maxIcon = 256 << 10
)

// page is an answer by HTTP.
type page struct {
	status int
	header http.Header
	body   []byte
	closed bool // the peer ends the connection behind it
}

// request is what a browser would ask, in little.
func (q *inquiry) request(method, path, body string) []byte {
	host := q.serverName()
	if host == "" {
		host = q.at.String()
		if q.at.Port() == 80 && !q.secure || q.at.Port() == 443 && q.secure {
			host = strings.TrimSuffix(host, fmt.Sprintf(":%d", q.at.Port()))
		}
	}
	text := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Mozilla/5.0 (compatible; AMOSKYS device scanner)\r\nAccept: */*\r\n"
	if body != "" {
		text += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return []byte(text + "\r\n" + body)
}

// readPage reads one answer; raw is what came where that is no HTTP.
func readPage(l io.Reader, most int64) (p *page, raw []byte) {
	var seen bytes.Buffer
	r := bufio.NewReader(io.TeeReader(io.LimitReader(l, most+32<<10), &seen))
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, seen.Bytes()[:min(seen.Len(), maxAnswer)]
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	whole := err == nil && int64(len(body)) < most && !answer.Close
	return &page{answer.StatusCode, answer.Header, body, !whole}, nil
}

// fetch asks one path, on l where it is still good, and else on a new connection.
func (q *inquiry) fetch(ctx context.Context, l **line, path string, most int64) *page {
	if *l == nil {
		fresh, err := q.dial(ctx)
		if err != nil {
			return nil
		}
		*l = fresh
	}
	p, _ := q.exchange(*l, q.request(http.MethodGet, path, ""), most)
	if p == nil || p.closed {
		_ = (*l).Close()
		*l = nil
	}
	return p
}

func (q *inquiry) exchange(l *line, send []byte, most int64) (*page, []byte) {
	if !l.send(send) || l.SetReadDeadline(time.Now().Add(l.wait)) != nil {
		return nil, nil
	}
	return readPage(l, most)
}

// askHTTP asks for the page at /, follows it once on the same host, and takes the icon.
func askHTTP(q *inquiry, l *line) Facts {
	p, raw := q.exchange(l, q.request(http.MethodGet, "/", ""), maxPage)
	if p == nil {
		f := Facts{}
		f.put("http-get", latin(raw))
		f.put(bannerFact, latin(raw))
		return f
	}
	if wantsTLS(p) && !q.secure {
		return nil
	}
	f := Facts{}
	f.page("http.", p)
	var keep *line
	if !p.closed {
		keep = l
	}
	if path := q.sameHost(p); path != "" && p.status/100 == 3 {
		if next := q.fetch(l.ctx, &keep, path, maxPage); next != nil {
			f.page("http.", next)
			p = next
		}
	}
	if path := q.iconPath(p); path != "" {
		if icon := q.fetch(l.ctx, &keep, path, maxIcon); icon != nil && icon.status == http.StatusOK && isIcon(icon.body) {
			sum := sha256.Sum256(icon.body)
			f["http.favicon"] = hex.EncodeToString(sum[:])
		}
	}
	if keep != nil && keep != l {
		_ = keep.Close()
	}
	return f
}

// wantsTLS tells that a server of HTTPS complains about the plain request.
func wantsTLS(p *page) bool {
	if p.status != http.StatusBadRequest {
		return false
	}
	text := strings.ToLower(string(p.body[:min(len(p.body), 2048)]))
	return strings.Contains(text, "https") || strings.Contains(text, "ssl-enabled") || strings.Contains(text, "tls")
}

// Pages are short, and what is too long is left out below: counted repetitions would take a
// megabyte in every process that has this package.
var (
	titlePattern = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)
	iconPattern  = regexp.MustCompile(`(?is)<link\s[^>]*>`)
	hrefPattern  = regexp.MustCompile(`(?i)href\s*=\s*["']?([^"'\s>]+)`)
)

// Bounds of what is taken of a page: of a title and of the address of an icon, in bytes.
const (
	maxTitle = 1000
	maxHref  = 300
)

// page notes what a page says; what an earlier one said of title and server stays only
// where this one is silent.
func (f Facts) page(prefix string, p *page) {
	f.put(prefix+"status", strconv.Itoa(p.status))
	f.put(prefix+"server", strings.ToValidUTF8(p.header.Get("Server"), "?"))
	f.put(prefix+"location", strings.ToValidUTF8(p.header.Get("Location"), "?"))
	if realm := p.header.Get("WWW-Authenticate"); realm != "" {
		f.put(prefix+"realm", strings.ToValidUTF8(strings.Join(p.header.Values("WWW-Authenticate"), ", "), "?"))
	}
	if m := titlePattern.FindSubmatch(p.body); m != nil && len(m[1]) <= maxTitle {
		title := strings.Join(strings.Fields(html.UnescapeString(strings.ToValidUTF8(string(m[1]), "?"))), " ")
		f.put(prefix+"title", title)
	}
	f.put(prefix+"header", headerText(p.header))
	f.put(prefix+"body", strings.ToValidUTF8(string(p.body[:min(len(p.body), maxFact)]), "?"))
}

// headerText writes a header as lines, sorted by name.
func headerText(h http.Header) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			if text.Len() > 8<<10 {
				break
			}
			text.WriteString(name + ": " + strings.ToValidUTF8(value, "?") + "\n")
		}
	}
	return text.String()
}

// sameHost is the path that a page leads to on its own host and port; empty if it
// leads away.
func (q *inquiry) sameHost(p *page) string {
	to, err := url.Parse(p.header.Get("Location"))
	if err != nil || to.String() == "" {
		return ""
	}
	if to.Host != "" {
		scheme := "http"
		if q.secure {
			scheme = "https"
		}
		port := to.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
		}
		host := to.Hostname()
		if to.Scheme != scheme || port != strconv.FormatUint(uint64(q.at.Port()), 10) || host != q.at.Addr().String() && !strings.EqualFold(host, q.serverName()) {
			return ""
		}
	}
	return localPath(to)
}

// localPath writes path and query so that they fit into a request line.
func localPath(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if u.RawQuery != "" {
		path += "?" + url.PathEscape(u.RawQuery)
	}
	if len(path) > 1024 || strings.ContainsAny(path, " \r\n") {
		return ""
	}
	return path
}

// iconPath is where the page's icon lies on the same host.
func (q *inquiry) iconPath(p *page) string {
	for _, link := range iconPattern.FindAll(p.body, 32) {
		if !bytes.Contains(bytes.ToLower(link), []byte("icon")) {
			continue
		}
		m := hrefPattern.FindSubmatch(link)
		if m == nil || len(m[1]) > maxHref {
			continue
		}
		to, err := url.Parse(html.UnescapeString(string(m[1])))
		if err != nil || to.Host != "" || to.Scheme != "" {
			continue
		}
		return localPath(to)
	}
	if p.status >= 400 && p.status != http.StatusUnauthorized && p.status != http.StatusForbidden && p.status != http.StatusNotFound {
		return ""
	}
	return "/favicon.ico"
}

// isIcon tells pictures from pages that say that there is none.
func isIcon(b []byte) bool {
	head := bytes.TrimSpace(b[:min(len(b), 256)])
	return len(b) >= 16 && !bytes.HasPrefix(head, []byte("<!")) && !bytes.HasPrefix(bytes.ToLower(head), []byte("<html")) && !bytes.HasPrefix(head, []byte("{"))
}

// securedName is the IANA name of a service within TLS.
func securedName(name string) string {
	names := map[string]string{
		"http": "https", "imap": "imaps", "pop3": "pop3s", "smtp": "submissions", "ftp": "ftps", "ldap": "ldaps",
		"irc": "ircs-u", "mqtt": "secure-mqtt", "amqp": "amqps", "domain": "domain-s", "sip": "sips", "telnet": "telnets",
		"nntp": "nntps", "docker": "docker-s", "syslog": "syslog-tls", "redis": "rediss", "ipp": "ipps", "": "tls",
	}
	if secured, ok := names[name]; ok {
		return secured
	}
	return name
}

// isIP tells addresses from names.
func isIP(s string) bool { return net.ParseIP(strings.Trim(s, "[]")) != nil }
