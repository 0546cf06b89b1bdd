package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// defaultBatch is how many variables one request names when nothing is known of the
// device. Their answer fits in one packet as a rule.
const defaultBatch = 24

// Get returns one variable for each OID, in the same order. What the device does not
// have is Missing. When it stops answering, what was read is returned with the error,
// and the rest is Missing.
func (c *Client) Get(ctx context.Context, oids ...string) ([]Variable, error) {
	all := make([]Variable, len(oids))
	for i, text := range oids {
		oid, err := ParseOID(text)
		if err != nil {
			return nil, err
		}
		all[i] = Variable{OID: oid, Type: NoSuchInstance}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := all; len(rest) > 0; {
		n := min(len(rest), cmp.Or(c.manners.Batch, defaultBatch), gosnmp.MaxOids)
		if err := c.getBatch(ctx, rest[:n]); err != nil {
			if c.lowerBatch(ctx, n, err) {
				continue
			}
			return all, fmt.Errorf("read %s: %w", rest[0].OID, err)
		}
		rest = rest[n:]
	}
	return all, nil
}

// lowerBatch reports whether half as many variables may be asked for in place of n
// that went wrong: the answer was too big, or none came though the device answers
// when asked for one.
func (c *Client) lowerBatch(ctx context.Context, n int, err error) bool {
	var status *StatusError
	switch {
	case n == 1:
		return false
	case errors.As(err, &status):
		if status.Status != statusTooBig {
			return false
		}
	case errors.Is(err, ErrTimeout):
		probe := question{pdu: gosnmp.GetNextRequest, oids: []string{"1.3.6.1.2.1.1"}}
		if _, dead := c.ask(ctx, probe); dead != nil {
			return false
		}
	default:
		return false
	}
	c.manners.Batch = n / 2
	return true
}

// getBatch reads the variables of one request into batch. In version 1 one that is
// missing spoils the whole answer (RFC 1157, section 4.1.2): it is left out, and the
// others are asked for again.
func (c *Client) getBatch(ctx context.Context, batch []Variable) error {
	open := make([]*Variable, len(batch))
	for i := range batch {
		open[i] = &batch[i]
	}
	for len(open) > 0 {
		q := question{pdu: gosnmp.GetRequest, retries: c.target.Retries}
		for _, v := range open {
			q.oids = append(q.oids, v.OID)
		}
		answer, err := c.ask(ctx, q)
		var status *StatusError
		if errors.As(err, &status) && status.Status == statusNoSuchName && status.Index >= 1 && status.Index <= len(open) {
			open = append(open[:status.Index-1], open[status.Index:]...)
			continue
		}
		if err != nil {
			return err
		}
		fill(open, answer)
		return nil
	}
	return nil
}

// fill hands the values of an answer to the variables that were asked for, by name:
// an answer in another order, or with other names, gives nobody a wrong value.
func fill(open []*Variable, answer []gosnmp.SnmpPDU) {
	for i, p := range answer {
		v := convert(p)
		if i < len(open) && open[i].OID == v.OID {
			*open[i] = v
			continue
		}
		for _, o := range open {
			if o.OID == v.OID && o.Value == nil {
				*o = v
			}
		}
	}
}

// Next returns the first variable behind an OID, whatever table it is of; it is
// Missing, as EndOfMIB, where there is none.
func (c *Client) Next(ctx context.Context, oid string) (Variable, error) {
	oid, err := ParseOID(oid)
	if err != nil {
		return Variable{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := c.next(ctx, oid)
	if err != nil {
		return Variable{}, fmt.Errorf("read behind %s: %w", oid, err)
	}
	if len(answer) == 0 {
		return Variable{OID: oid, Type: EndOfMIB}, nil
	}
	v := convert(answer[0])
	if !v.Type.absent() && CompareOIDs(v.OID, oid) <= 0 {
		return Variable{}, fmt.Errorf("read behind %s: %w: %s follows", oid, ErrLoop, v.OID)
	}
	return v, nil
}
