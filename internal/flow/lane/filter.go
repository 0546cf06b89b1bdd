package lane

import (
	"fmt"

	xbpf "golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Filter applies a filter in the language of pcap-filter(7) to frames that no kernel
// has filtered, such as those of files. It compiles once for each link type.
type Filter struct {
	text     string
	machines map[packet.Link]*xbpf.VM
}

// NewFilter checks a filter as one for Ethernet.
func NewFilter(text string) (*Filter, error) {
	f := &Filter{text: text, machines: map[packet.Link]*xbpf.VM{}}
	if _, err := f.machine(packet.LinkEthernet); err != nil {
		return nil, err
	}
	return f, nil
}

// snap is the length that the program accepts; what is taken is not cut.
const snap = 262_144

func (f *Filter) machine(link packet.Link) (*xbpf.VM, error) {
	if vm, known := f.machines[link]; known {
		return vm, nil
	}
	raw, err := bpf.Compile(f.text, link, snap)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", f.text, err)
	}
	program := make([]xbpf.Instruction, len(raw))
	for i, r := range raw {
		program[i] = r.Disassemble()
	}
	vm, err := xbpf.NewVM(program)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", f.text, err)
	}
	f.machines[link] = vm
	return vm, nil
}

// Keep reports whether the filter takes a frame. Frames of a link type for which the
// filter has no meaning are not taken.
func (f *Filter) Keep(frame *packet.Frame) bool {
	vm, err := f.machine(frame.Link)
	if err != nil {
		f.machines[frame.Link] = nil
		return false
	}
	if vm == nil {
		return false
	}
	n, err := vm.Run(frame.Data)
	return err == nil && n > 0
}
