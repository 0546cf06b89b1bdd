package dissect

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/protocols.md")

const docsPage = "../../../docs/protocols.md"

// TestProtocolsPage: the page says what the table says.
func TestProtocolsPage(t *testing.T) {
	text, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "<!-- the table: go test ./internal/flow/dissect -run ProtocolsPage -update -->\n"
	intro, _, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatal("the mark before the table is gone")
	}
	want := intro + mark + protocolTable()
	if *update {
		if err := os.WriteFile(docsPage, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Error("docs/protocols.md is stale: go test ./internal/flow/dissect -run ProtocolsPage -update")
	}
}

func protocolTable() string {
	all := allProtocols()
	slices.SortFunc(all, func(a, b protocol) int {
		return strings.Compare(a.category+" "+a.name, b.category+" "+b.name)
	})
	var b strings.Builder
	b.WriteString("\n| category | name | over | usual ports | recognised by | what is read |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, p := range all {
		var over, ports []string
		if p.client.match != nil || p.server.match != nil || len(p.tcp) > 0 {
			over = append(over, "tcp")
		}
		if p.datagram.match != nil || len(p.udp) > 0 {
			over = append(over, "udp")
		}
		if p.ip != 0 {
			over = append(over, fmt.Sprintf("IP %d", p.ip))
		}
		both := append(slices.Clone(p.tcp), p.udp...)
		slices.Sort(both)
		for _, n := range slices.Compact(both) {
			ports = append(ports, fmt.Sprint(n))
		}
		by := "content"
		switch s := []signature{p.client, p.server, p.datagram}; {
		case p.ip != 0:
			by = "IP protocol"
		case p.read != nil || p.readDatagram != nil || p.name == "websocket":
		case s[0].match == nil && s[1].match == nil && s[2].match == nil:
			by = "port alone"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", p.category, p.name, strings.Join(over, ", "), strings.Join(ports, " "), by, p.tells)
	}
	return b.String()
}

// TestTable: names are unique, and each protocol can be found somehow.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range allProtocols() {
		if p.ip == 0 && seen[p.name] {
			t.Errorf("%s stands twice", p.name)
		}
		seen[p.name] = true
		if p.category == "" {
			t.Errorf("%s has no category", p.name)
		}
		if (p.read != nil || p.readDatagram != nil) && p.tells == "" {
			t.Errorf("%s is read, but does not say what", p.name)
		}
		if p.client.match == nil && p.server.match == nil && p.datagram.match == nil && p.ip == 0 && len(p.tcp)+len(p.udp) == 0 && p.name != "websocket" {
			t.Errorf("nothing leads to %s", p.name)
		}
	}
	if n := len(allProtocols()); n > 255 {
		t.Errorf("%d protocols do not fit an id", n)
	}
}
