// Command keep makes the recording of package corpus of a hub's log: the events of the
// process agent, without what is random in their ids.
//
//	amoskys wal dump --json | go run ./internal/bench/corpus/keep SKIP OLD=NEW… >internal/bench/corpus/events.zst
//
// SKIP is how many events are left out at the beginning, while everything still starts.
// Each OLD=NEW puts NEW in place of every OLD in names, paths and command lines.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "keep:", err)
		os.Exit(1)
	}
}

// maxLine bounds a line of the dump: an event of the hub's largest size as JSON.
const maxLine = 16 << 20

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say how many events to leave out at the beginning")
	}
	skip, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var pairs []string
	for _, arg := range args[1:] {
		before, after, ok := strings.Cut(arg, "=")
		if !ok || before == "" {
			return fmt.Errorf("%q is not OLD=NEW", arg)
		}
		pairs = append(pairs, before, after)
	}
	names := strings.NewReplacer(pairs...)
	packer, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		event, err := kept(lines.Bytes(), names)
		if err == nil && len(event) > 0 {
			if skip--; skip < 0 {
				_, err = packer.Write(event)
			}
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return errors.Join(lines.Err(), packer.Close())
}

// kept is an event with its length before it, or nothing where the line has none of the
// process agent.
func kept(line []byte, names *strings.Replacer) ([]byte, error) {
	var found struct{ Event map[string]json.RawMessage }
	if err := json.Unmarshal(line, &found); err != nil {
		return nil, err
	}
	if found.Event["process"] == nil {
		return nil, nil
	}
	var text string
	if err := json.Unmarshal(found.Event["id"], &text); err != nil {
		return nil, err
	}
	id, err := event.ParseID(text)
	if err != nil {
		return nil, err
	}
	delete(found.Event, "id")
	fields, err := json.Marshal(found.Event)
	if err != nil {
		return nil, err
	}
	var ev pb.Event
	if err := protojson.Unmarshal(fields, &ev); err != nil {
		return nil, err
	}
	clear(id[6:]) // the rest is random
	ev.Id = id[:]
	rename(ev.ProtoReflect(), names)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&ev)
	return protowire.AppendBytes(nil, b), err
}

// rename replaces in every text of a message.
func rename(m protoreflect.Message, names *strings.Replacer) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		text := f.Kind() == protoreflect.StringKind
		switch {
		case f.IsList() && text:
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(names.Replace(v.List().Get(i).String())))
			}
		case f.IsMap(), f.IsList():
		case text:
			m.Set(f, protoreflect.ValueOfString(names.Replace(v.String())))
		case f.Message() != nil:
			rename(v.Message(), names)
		}
		return true
	})
}
