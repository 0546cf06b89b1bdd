package mib

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed data/common.txt
var commonText string

// Common are the names of the objects that most devices have, which are part of the program:
// those of SNMPv2-MIB, IF-MIB, HOST-RESOURCES-MIB and others, as data/common.txt lists them.
func Common() *Names {
	n, err := table(commonText)
	if err != nil {
		panic(err) // our own table, which a test reads
	}
	return n
}

// table reads the form of data/common.txt, which stands in its head.
func table(text string) (*Names, error) {
	n := newNames(512)
	places, module := roots(), ""
	for number, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
			continue
		case len(words) == 1:
			module = words[0]
			continue
		}
		parent, rest, _ := strings.Cut(words[1], ".")
		oid, known := places[parent]
		switch {
		case known:
			oid += "." + rest
		case parent == "1": // in full
			oid = words[1]
		default:
			return nil, fmt.Errorf("line %d: nothing is called %s", number+1, parent)
		}
		note := func(name, oid string) error {
			if _, twice := places[name]; twice || module == "" {
				return fmt.Errorf("line %d: %s is there already, or in no module", number+1, name)
			}
			places[name] = oid
			n.define(module, name, oid)
			return nil
		}
		if err := note(words[0], oid); err != nil {
			return nil, err
		}
		for i, name := range words[2:] {
			if name == "-" {
				continue
			}
			if err := note(name, oid+"."+strconv.Itoa(i+1)); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}
