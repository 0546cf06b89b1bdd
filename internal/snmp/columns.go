package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gosnmp/gosnmp"
)

// How much one request for several columns asks for. Rows of a dozen columns fit in
// one packet of Ethernet a few at a time; what is larger is sent in pieces, which
// most networks let through.
const (
	mostColumns   = 12
	variablesEach = 4 // times MaxRepetitions, of all columns together
)

// WalkColumns does what Walk does for several columns of a table at once, which takes
// a fraction of the requests. Each column comes in increasing order, different ones in
// turn. A device that does not bear that is asked for one column at a time, from where
// each one stands, and that is remembered in Manners. A column that fails costs only
// itself: the error joins a WalkError for each.
func (c *Client) WalkColumns(ctx context.Context, roots []string, each func(Variable) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Time, fmt.Errorf("%w after %s", ErrEndless, c.limits.Time))
	defer cancel()
	all := make([]*walk, len(roots))
	for i, text := range roots {
		root, err := ParseOID(text)
		if err != nil {
			return err
		}
		all[i] = &walk{root: root, last: root, limits: c.limits}
	}
	var failed error
	alone := false
	for rest := range slices.Chunk(all, mostColumns) {
		together, err := c.walkTogether(ctx, rest, each)
		if err != nil {
			return err
		}
		alone = alone || !together
		for _, w := range rest {
			if err := c.walkAlone(ctx, w, each); err != nil {
				if w.broken == nil { // each has ended it
					return err
				}
				failed = errors.Join(failed, err)
			}
		}
	}
	if alone && failed == nil {
		c.rememberOneColumn()
	}
	return failed
}

func (c *Client) rememberOneColumn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.repetitions() > 1 {
		c.manners.Together = 1
	}
}

// walkTogether asks for columns together until all but one are done or have failed,
// or the device has had enough of it, which is false and no error.
func (c *Client) walkTogether(ctx context.Context, columns []*walk, each func(Variable) error) (bool, error) {
	for {
		open := slices.DeleteFunc(slices.Clone(columns), func(w *walk) bool { return w.done || w.broken != nil })
		if len(open) < 2 {
			return true, nil
		}
		answer, ok := c.afterAll(ctx, open)
		if !ok {
			return false, nil
		}
		for i := range answer { // they come in turn (RFC 3416, section 4.2.3)
			if err := open[i%len(open)].take(answer[i:i+1], each); err != nil {
				if _, ours := errors.AsType[*WalkError](err); !ours {
					return true, err
				}
			}
		}
		if len(answer) < len(open) { // not even one row: what is left is asked for one by one
			return false, nil
		}
	}
}

// afterAll asks for what follows in each column, and reports false where they are to
// be asked for one by one: after a silence about several columns that is not the whole
// device's. After an error it asks for half as many rows, down to one.
func (c *Client) afterAll(ctx context.Context, open []*walk) ([]gosnmp.SnmpPDU, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := question{pdu: gosnmp.GetBulkRequest, retries: min(1, c.target.Retries)}
	for _, w := range open {
		q.oids = append(q.oids, w.last)
	}
	for {
		n := c.together()
		if n == 1 {
			return nil, false
		}
		q.repetitions = min(max(n/len(open), 1), c.target.MaxRepetitions)
		answer, err := c.ask(ctx, q)
		if err == nil {
			return answer, true
		}
		if _, told := errors.AsType[*StatusError](err); !told {
			if err = c.aliveBut(ctx, open, err); err != nil {
				for _, w := range open {
					_ = w.fail(err) // walkAlone tells it
				}
			}
			return nil, false
		}
		if q.repetitions == 1 {
			return nil, false
		}
		c.manners.Together = q.repetitions / 2 * len(open)
	}
}

// together is how many variables are asked for now; 1 means one column at a time.
func (c *Client) together() int {
	if c.repetitions() == 1 {
		return 1
	}
	return cmp.Or(c.manners.Together, c.target.MaxRepetitions*variablesEach)
}

// aliveBut asks a device that kept silent about several columns, or answered what cannot be
// read, for the first of them and the last, one row each. It returns nil if it answers, else
// why it does not.
func (c *Client) aliveBut(ctx context.Context, open []*walk, err error) error {
	if !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrMalformed) {
		return err
	}
	for _, w := range []*walk{open[0], open[len(open)-1]} {
		if _, err = c.next(ctx, w.last); err == nil || errors.Is(err, ErrMalformed) {
			return nil
		}
	}
	return err
}

// walkAlone walks what is left of one column.
func (c *Client) walkAlone(ctx context.Context, w *walk, each func(Variable) error) error {
	for !w.done && w.broken == nil {
		answer, err := c.after(ctx, w)
		if err != nil {
			return w.fail(err)
		}
		if err := w.take(answer, each); err != nil {
			return err
		}
	}
	return w.broken
}
