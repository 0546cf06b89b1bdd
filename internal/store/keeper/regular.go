package keeper

import (
	"errors"
	"fmt"
	"os"
)

// errIrregular says that what should be a file is something else: to open a named pipe
// waits for ever, and what a link leads to is not the store's.
var errIrregular = errors.New("it is no regular file")

// readRegular reads a file, and opens nothing else.
func readRegular(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func regular(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", st.Name(), errIrregular)
	}
	return nil
}
