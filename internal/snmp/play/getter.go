package play

import (
	"context"

	"github.com/amoskys/amoskys/internal/snmp"
)

var _ snmp.Getter = (*Record)(nil)

// Get reads variables from the recording itself, without a network.
func (r *Record) Get(ctx context.Context, oids ...string) ([]snmp.Variable, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := make([]snmp.Variable, len(oids))
	for i, text := range oids {
		oid, err := snmp.ParseOID(text)
		if err != nil {
			return nil, err
		}
		all[i] = snmp.Variable{OID: oid, Type: snmp.NoSuchInstance}
		arcs, _ := snmp.Arcs(oid)
		if at, found := r.at(arcs); found {
			all[i] = r.entries[at].variable()
		}
	}
	return all, nil
}

// Walk reads what is below root from the recording itself, without a network.
func (r *Record) Walk(ctx context.Context, root string, each func(snmp.Variable) error) error {
	root, err := snmp.ParseOID(root)
	if err != nil {
		return err
	}
	arcs, _ := snmp.Arcs(root)
	for i := r.next(arcs); i < len(r.entries) && below(arcs, r.entries[i].arcs); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(r.entries[i].variable()); err != nil {
			return err
		}
	}
	return nil
}

// below reports whether name is below root.
func below(root, name []uint32) bool {
	if len(name) <= len(root) {
		return false
	}
	for i, n := range root {
		if name[i] != n {
			return false
		}
	}
	return true
}

// Next returns the first variable behind an OID; it is Missing, as EndOfMIB, where
// there is none.
func (r *Record) Next(ctx context.Context, oid string) (snmp.Variable, error) {
	if err := ctx.Err(); err != nil {
		return snmp.Variable{}, err
	}
	oid, err := snmp.ParseOID(oid)
	if err != nil {
		return snmp.Variable{}, err
	}
	arcs, _ := snmp.Arcs(oid)
	if i := r.next(arcs); i < len(r.entries) {
		return r.entries[i].variable(), nil
	}
	return snmp.Variable{OID: oid, Type: snmp.EndOfMIB}, nil
}
