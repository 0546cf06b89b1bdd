package capture

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// BenchmarkFile reads a file of a million frames, whose sizes are those of ordinary
// traffic: acknowledgements, full segments and some between, 360 bytes on average.
func BenchmarkFile(b *testing.B) {
	for _, c := range []struct {
		name string
		snap uint32
	}{{"whole", 0}, {"snap 96", 96}} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "a.pcap")
			const frames = 1_000_000
			if err := writeFrames(path, frames, c.snap); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				f, err := OpenFile(path)
				if err != nil {
					b.Fatal(err)
				}
				var frame packet.Frame
				n := 0
				for err = f.Next(&frame); err == nil; err = f.Next(&frame) {
					n++
				}
				if !errors.Is(err, io.EOF) || n != frames {
					b.Fatal(n, err)
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*frames/b.Elapsed().Seconds()/1e6, "Mpps")
		})
	}
}

func writeFrames(path string, frames int, snap uint32) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w, err := NewWriter(file, packet.LinkEthernet, snap)
	if err != nil {
		return err
	}
	payload := bytes.Repeat([]byte{7}, 1514)
	sizes := []int{66, 66, 74, 90, 66, 1514, 200, 130, 66, 1300}
	for i := range frames {
		f := packet.Frame{Time: int64(i) * 1000, Data: payload[:sizes[i%len(sizes)]], Link: packet.LinkEthernet}
		if err := w.Write(&f); err != nil {
			return err
		}
	}
	return errors.Join(w.Flush(), file.Close())
}
