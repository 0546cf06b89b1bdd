package snmp

import (
	"context"
	"errors"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// Walk calls each for every variable below root, in increasing order of OID, while
// they come. It ends when there are no more, when each returns an error, which it
// then returns, or with a WalkError: the device stopped answering, goes round in
// circles, or met a limit. What was handed on until then is good.
//
// How much is asked for at once follows the device:
//
//	GETBULK for n rows   answered             go on
//	                     an error (tooBig)    n/2 rows from now on
//	                     silence              GETNEXT for one row:
//	                       answered             n/2 rows from now on
//	                       silence              give up
//	                     what cannot be read,   GETNEXT for one row, and for all that
//	                     or nothing at all      follow in this walk
//	n is 1, version 1    GETNEXT alone
//
// So a device that is gone costs a few timeouts, not one for each size.
func (c *Client) Walk(ctx context.Context, root string, each func(Variable) error) error {
	root, err := ParseOID(root)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Time, fmt.Errorf("%w after %s", ErrEndless, c.limits.Time))
	defer cancel()
	return c.walkAlone(ctx, &walk{root: root, last: root, limits: c.limits}, each)
}

// after asks for what follows the last variable of a walk. An empty answer is the end of all
// there is.
func (c *Client) after(ctx context.Context, w *walk) ([]gosnmp.SnmpPDU, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oid := w.last
	for {
		n := c.repetitions()
		if n == 1 || w.single {
			return c.next(ctx, oid)
		}
		answer, err := c.ask(ctx, question{pdu: gosnmp.GetBulkRequest, oids: []string{oid}, repetitions: n, retries: min(1, c.target.Retries)})
		var status *StatusError
		switch {
		case err == nil && len(answer) > 0:
			return answer, nil
		case err == nil, errors.Is(err, ErrMalformed): // one value may be to blame, and more are good
			w.single = true
		case errors.As(err, &status):
			c.manners.Repetitions = n / 2
		case errors.Is(err, ErrTimeout):
			if answer, err = c.next(ctx, oid); err == nil {
				c.manners.Repetitions = n / 2
			}
			return answer, err
		default:
			return nil, err
		}
	}
}

// next is after with one GETNEXT.
func (c *Client) next(ctx context.Context, oid string) ([]gosnmp.SnmpPDU, error) {
	answer, err := c.ask(ctx, question{pdu: gosnmp.GetNextRequest, oids: []string{oid}, retries: c.target.Retries})
	var status *StatusError
	if errors.As(err, &status) && status.Status == statusNoSuchName {
		return nil, nil // how version 1 says that nothing follows
	}
	return answer, err
}

// repetitions is how many rows are asked for now; 1 means GETNEXT.
func (c *Client) repetitions() int {
	n := c.target.MaxRepetitions
	if c.manners.Repetitions > 0 {
		n = min(n, c.manners.Repetitions)
	}
	if c.target.Credential.version() == V1 {
		n = 1
	}
	return n
}

// walk is how far one came.
type walk struct {
	root, last string
	limits     Limits
	rows       int
	bytes      int
	done       bool
	single     bool  // one row is asked for at a time
	broken     error // why it cannot go on
}

// take hands the variables of one answer on, as far as they are below the root.
func (w *walk) take(answer []gosnmp.SnmpPDU, each func(Variable) error) error {
	if w.done || w.broken != nil {
		return nil
	}
	if len(answer) == 0 {
		w.done = true
		return nil
	}
	for _, p := range answer {
		v := convert(p)
		_, below := Index(w.root, v.OID)
		// Who has nothing more may begin anew: that is a way to say so, as weak devices do at
		// the end of all they have.
		if back := CompareOIDs(v.OID, w.last) <= 0 && !v.Type.absent(); back && (below || v.OID == w.last) {
			return w.fail(fmt.Errorf("%w: %s follows %s", ErrLoop, v.OID, w.last))
		}
		if !below || v.Type.absent() {
			w.done = true
			return nil
		}
		switch {
		case w.rows == w.limits.Rows:
			return w.fail(fmt.Errorf("%w after %d variables", ErrEndless, w.limits.Rows))
		case w.bytes+v.size() > w.limits.Bytes:
			return w.fail(fmt.Errorf("%w after %d bytes", ErrEndless, w.limits.Bytes))
		}
		w.last = v.OID
		w.rows++
		w.bytes += v.size()
		if err := each(v); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the walk after the last variable that was handed on.
func (w *walk) fail(err error) error {
	w.broken = &WalkError{Root: w.root, Rows: w.rows, Err: err}
	return w.broken
}
