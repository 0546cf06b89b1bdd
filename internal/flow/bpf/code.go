package bpf

// Operation codes of the classic BPF machine, as linux/bpf_common.h and
// linux/filter.h number them. The low three bits are the class.
const (
	clsLD   = 0x00
	clsLDX  = 0x01
	clsST   = 0x02
	clsSTX  = 0x03
	clsALU  = 0x04
	clsJMP  = 0x05
	clsRET  = 0x06
	clsMISC = 0x07

	sizeW = 0x00
	sizeH = 0x08
	sizeB = 0x10

	modeIMM = 0x00
	modeABS = 0x20
	modeIND = 0x40
	modeMEM = 0x60
	modeLEN = 0x80
	modeMSH = 0xa0

	aluADD = 0x00
	aluSUB = 0x10
	aluMUL = 0x20
	aluDIV = 0x30
	aluOR  = 0x40
	aluAND = 0x50
	aluLSH = 0x60
	aluRSH = 0x70
	aluNEG = 0x80
	aluMOD = 0x90
	aluXOR = 0xa0

	jmpJA   = 0x00
	jmpJEQ  = 0x10
	jmpJGT  = 0x20
	jmpJGE  = 0x30
	jmpJSET = 0x40

	srcX = 0x08

	opTAX = clsMISC
	opTXA = clsMISC | 0x80

	// opNone marks an instruction that the optimiser took out.
	opNone = 0xffff
)

// instr is an instruction before it has its place: an operation and its
// operand. A jump inside a block, which only the way into Geneve has, skips
// jt or jf instructions.
type instr struct {
	op     uint16
	k      uint32
	jt, jf uint8
}

func (i instr) class() uint16 { return i.op & 0x07 }
func (i instr) size() uint16  { return i.op & 0x18 }
func (i instr) mode() uint16  { return i.op & 0xe0 }
func (i instr) alu() uint16   { return i.op & 0xf0 }
func (i instr) usesX() bool   { return i.op&srcX != 0 }

// cond is a condition on a packet, while the filter is read: either a test,
// which runs instructions and then compares, or others joined by and, or, not.
// Each cond is used once.
type cond struct {
	kind condKind
	a, b *cond
	code []instr
	test instr
}

type condKind uint8

const (
	condTest condKind = iota
	condAnd
	condOr
	condNot
)

func newTest(op uint16, k uint32, code ...instr) *cond {
	return &cond{kind: condTest, code: code, test: instr{op: clsJMP | op, k: k}}
}

// and and or take nil for an operand that is not there.
func and(a, b *cond) *cond {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &cond{kind: condAnd, a: a, b: b}
}

func or(a, b *cond) *cond {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &cond{kind: condOr, a: a, b: b}
}

func not(a *cond) *cond { return &cond{kind: condNot, a: a} }

// block is a run of instructions that ends in a test or a return.
type block struct {
	code []instr
	last instr
	// to are the blocks after a test: onTrue and onFalse. Both are nil for a
	// return.
	to [2]*block

	// What follows belongs to the optimiser.
	id      int
	level   int
	seen    int
	val     [atoms]int
	operand int
	kill    atomSet
	inUse   atomSet
	outUse  atomSet
	in      []edge
	// place is the block's position in the order of the levels, those with
	// most tests behind them first.
	place int
	// preds are the blocks with an edge to this one, kept up to date while
	// tests are pulled up; live says that the block could be reached before.
	preds []*block
	live  bool
	// asked and answer belong to dominance.
	asked  int
	answer bool
}

const (
	onTrue  = 0
	onFalse = 1
)

func (b *block) isReturn() bool { return b.to[onTrue] == nil }

// lower turns a condition into blocks that lead to yes or no, and returns the
// first. made counts the blocks.
func lower(c *cond, yes, no *block, made *int) *block {
	switch c.kind {
	case condAnd:
		return lower(c.a, lower(c.b, yes, no, made), no, made)
	case condOr:
		return lower(c.a, yes, lower(c.b, yes, no, made), made)
	case condNot:
		return lower(c.a, no, yes, made)
	default:
		*made++
		return &block{code: c.code, last: c.test, to: [2]*block{yes, no}}
	}
}
