// Package mib takes the names of objects out of files of MIB modules (SMIv1, RFC 1155
// and 1212; SMIv2, RFC 2578), so that OIDs can be shown by name. It reads definitions
// that end in "::= { parent number }" and traps of SMIv1, and passes over all else:
// types, texts, macros. What it does not understand costs the one definition.
//
// The files may be anybody's, so everything is bounded: how much is read, how many names
// there are, how long an OID is. Nothing in a file names another file, and a definition
// that goes round in circles has no OID.
package mib

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Bounds of what is read.
const (
	maxFiles  = 5000
	maxFile   = 8 << 20   // octets of one file; the largest that is about has 3 MiB
	maxFolder = 128 << 20 // octets of all files of a call of Load
	maxNames  = 500_000
	maxName   = 128
	maxText   = 64 << 20 // octets of all OIDs and their names
	maxFaults = 20
)

// Load reads all files of folders, in order of their names; subfolders are not looked
// into. Of two definitions of one OID the first names it. Faults say what was left out, at
// most twenty of them; the error is a folder that cannot be read.
func Load(folders ...string) (names *Names, faults []error, err error) {
	p := &parser{modules: map[string]*module{}}
	left := int64(maxFolder)
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, nil, fmt.Errorf("read MIB files: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if p.files++; p.files > maxFiles || left <= 0 {
				p.fault(fmt.Errorf("%s: not read, as only %d files of %d MiB together are", e.Name(), maxFiles, maxFolder>>20))
				break
			}
			text, err := readFile(filepath.Join(folder, e.Name()))
			if err != nil {
				p.fault(err)
				continue
			}
			left -= int64(len(text))
			p.parse(text)
		}
	}
	return p.resolve(), p.faults, nil
}

// readFile reads a file up to the bound. What is no file, such as a pipe, is not opened.
func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return "", fmt.Errorf("%s: it is no file of at most %d MiB", path, maxFile>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(b), errors.Join(err, f.Close())
}

// parser gathers definitions of modules.
type parser struct {
	modules map[string]*module
	order   []*module
	files   int
	names   int
	faults  []error
}

// module is what one says.
type module struct {
	name    string
	imports map[string]string // the module of a symbol
	defined map[string]definition
	order   []string
}

// definition is { parent numbers… }; a trap of SMIv1 is { enterprise 0 number } (RFC
// 3584, section 3.1).
type definition struct {
	parent string
	arcs   []uint32
}

func (p *parser) fault(err error) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, err)
	}
}

// roots are what definitions begin with: those of X.660, and those that SNMPv2-SMI (RFC
// 2578) and RFC1155-SMI have, so that these files need not be there.
func roots() map[string]string {
	return map[string]string{
		"ccitt": "0", "iso": "1", "joint-iso-ccitt": "2", "org": "1.3", "dod": "1.3.6", "internet": "1.3.6.1", "directory": "1.3.6.1.1",
		"mgmt": "1.3.6.1.2", "mib-2": "1.3.6.1.2.1", "transmission": "1.3.6.1.2.1.10", "experimental": "1.3.6.1.3", "private": "1.3.6.1.4",
		"enterprises": "1.3.6.1.4.1", "security": "1.3.6.1.5", "snmpV2": "1.3.6.1.6", "snmpDomains": "1.3.6.1.6.1", "snmpProxys": "1.3.6.1.6.2",
		"snmpModules": "1.3.6.1.6.3", "zeroDotZero": "0.0",
	}
}

// resolve gives every definition its OID.
func (p *parser) resolve() *Names {
	n := newNames(p.names)
	known, text := roots(), 0
	for _, m := range p.order {
		for _, name := range m.order {
			oid, ok := p.oid(known, m, name)
			if !ok {
				p.fault(fmt.Errorf("%s::%s: what it is defined by is not there, or goes round in circles", m.name, name))
				continue
			}
			if text += len(oid) + len(m.name) + len(name); text > maxText {
				p.faults = append(p.faults, fmt.Errorf("%s::%s and what follows: left out, as only names of %d MiB together are kept", m.name, name, maxText>>20))
				return n
			}
			n.define(m.name, name, oid)
		}
	}
	return n
}

// oid follows a definition to its root. Each step adds a number or goes on in the module
// that a name is from; there are bounds of both, so that circles end.
func (p *parser) oid(known map[string]string, m *module, name string) (string, bool) {
	var arcs []uint32 // the last first
	for range 2 * ber.MaxArcs {
		if d, ok := m.defined[name]; ok {
			for _, arc := range slices.Backward(d.arcs) {
				arcs = append(arcs, arc)
			}
			if len(arcs) > ber.MaxArcs {
				return "", false
			}
			name = d.parent
			continue
		}
		if from := p.modules[m.imports[name]]; from != nil && from != m {
			if _, ok := from.defined[name]; ok {
				m = from
				continue
			}
		}
		root, ok := known[name]
		return written(root, arcs), ok
	}
	return "", false
}

func written(root string, arcs []uint32) string {
	var b strings.Builder
	b.WriteString(root)
	for _, arc := range slices.Backward(arcs) {
		b.WriteByte('.')
		b.WriteString(strconv.FormatUint(uint64(arc), 10))
	}
	return b.String()
}
