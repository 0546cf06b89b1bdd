package mib

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Names are the names of objects by their OID, and their OIDs by name. The zero value and nil
// know none. It is not changed once it is loaded, and safe for concurrent use.
type Names struct {
	byOID map[string]string // MODULE::name
	also  map[string]string // OIDs by MODULE::name of those whose OID another one names
	under *Names            // asked for what this one does not know; nil is nobody

	index  sync.Once
	byName map[string][]string // OIDs by bare name, made when it is first asked for
}

func newNames(size int) *Names {
	return &Names{byOID: make(map[string]string, size), also: map[string]string{}}
}

// define notes what an object is called. The first name of an OID is the one that is shown.
func (n *Names) define(module, name, oid string) {
	full := module + "::" + name
	if was, have := n.byOID[oid]; !have {
		n.byOID[oid] = full
	} else if was != full {
		n.also[full] = oid
	}
}

// Over returns names that are n's, and where n does not know, those of under. Both may be nil.
func (n *Names) Over(under *Names) *Names {
	if n == nil {
		return under
	}
	return &Names{byOID: n.byOID, also: n.also, under: under}
}

// Len is how many names there are.
func (n *Names) Len() int {
	if n == nil {
		return 0
	}
	return len(n.byOID) + n.under.Len()
}

// Name writes an OID by name: that of the longest beginning of it that has one, and the
// numbers that follow, such as "IF-MIB::ifDescr.3". It is empty where none has one.
func (n *Names) Name(oid string) string {
	for at := len(oid); at > 0; at = strings.LastIndexByte(oid[:at], '.') {
		if name := n.Exact(oid[:at]); name != "" {
			return name + oid[at:]
		}
	}
	return ""
}

// Exact is the name of the object that has this OID and no other, "" where none has.
func (n *Names) Exact(oid string) string {
	for ; n != nil; n = n.under {
		if name, ok := n.byOID[oid]; ok {
			return name
		}
	}
	return ""
}

// ErrUnknown is a name that no module has.
var ErrUnknown = errors.New("no object has this name")

// OID reads an OID as people write it, in numbers or by name: "1.3.6.1.2.1.1.5.0",
// "sysName.0" or "SNMPv2-MIB::sysName.0". A name that several objects have wants its module.
// The error of a name that nobody has wraps ErrUnknown.
func (n *Names) OID(text string) (string, error) {
	module, object, named := strings.Cut(text, "::")
	if !named {
		module, object = "", text
	}
	name, rest, indexed := strings.Cut(object, ".")
	if !isName(name) || named && module == "" {
		if named {
			return "", fmt.Errorf("%.80q: behind :: stands a name, such as IF-MIB::ifDescr.1", text)
		}
		return snmp.ParseOID(text)
	}
	found, err := n.find(module, name)
	if err != nil {
		return "", err
	}
	if indexed {
		found += "." + rest
	}
	return snmp.ParseOID(found)
}

// find is the OID of a name.
func (n *Names) find(module, name string) (string, error) {
	var all []string
	for layer := n; layer != nil && len(all) == 0; layer = layer.under {
		for _, oid := range layer.named(name) {
			if full := module + "::" + name; module == "" || layer.byOID[oid] == full || layer.also[full] == oid {
				all = append(all, oid)
			}
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0 && module != "":
		return "", fmt.Errorf("%w: %.80s in %.80s", ErrUnknown, name, module)
	case len(all) == 0:
		return "", fmt.Errorf("%w: %.80s", ErrUnknown, name)
	}
	var full []string
	for _, oid := range all[:min(len(all), 4)] {
		full = append(full, n.Exact(oid)+" ("+oid+")")
	}
	return "", fmt.Errorf("%d objects are called %.80s: say which, such as %s", len(all), name, strings.Join(full, " or "))
}

// named are the OIDs of a bare name, in order.
func (n *Names) named(name string) []string {
	n.index.Do(func() {
		n.byName = make(map[string][]string, len(n.byOID))
		note := func(full, oid string) {
			_, bare, _ := strings.Cut(full, "::")
			n.byName[bare] = append(n.byName[bare], oid)
		}
		for oid, full := range n.byOID {
			note(full, oid)
		}
		for full, oid := range n.also {
			note(full, oid)
		}
		for name, oids := range n.byName {
			slices.SortFunc(oids, snmp.CompareOIDs)
			n.byName[name] = slices.Compact(oids)
		}
	})
	return n.byName[name]
}
