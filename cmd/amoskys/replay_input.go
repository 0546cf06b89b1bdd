package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/amoskys/amoskys/internal/flow/capture"
)

// openCapture opens what is replayed; "-" is standard input. A pipe or FIFO may keep
// silent for ever, both when it is opened and when it is read, and no signal ends that
// wait: such is read by a goroutine of its own, so that the end of ctx ends the replay at
// once. The goroutine goes when the peer says something, or with the program.
func openCapture(ctx context.Context, path string) (*capture.File, error) {
	if info, err := os.Stat(path); path != "-" && (err != nil || info.Mode().IsRegular()) {
		return capture.OpenFile(path)
	}
	from, to := io.Pipe()
	context.AfterFunc(ctx, func() { _ = to.CloseWithError(ctx.Err()) })
	go func() { _ = to.CloseWithError(pour(to, path)) }()
	f, err := capture.NewFile(from)
	if err != nil {
		_ = from.Close() // ends the goroutine at its next byte
		if path == "-" {
			return nil, err
		}
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// pour writes what comes from path, which is no regular file.
func pour(to io.Writer, path string) (err error) {
	in := os.Stdin
	if path != "-" {
		if in, err = os.Open(path); err != nil {
			return fmt.Errorf("open capture: %w", err)
		}
		defer func() { err = errors.Join(err, in.Close()) }()
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{in}, make([]byte, 256<<10))
	return err
}
