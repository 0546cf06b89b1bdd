package snmp

import (
	"errors"
	"os"
	"strconv"
)

// isDenied says that the system does not let us have a port.
func isDenied(err error) bool { return errors.Is(err, os.ErrPermission) }

func number32(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
