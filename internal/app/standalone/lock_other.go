//go:build !unix

package standalone

import (
	"errors"
	"syscall"
)

var errSystem = errors.New("up and down need a Unix system; run hub, store, dashboard and node by themselves")

func lockHome(string) (unlock func(), err error) { return nil, errSystem }

func homeLocked(string) (bool, error) { return false, errSystem }

func alive(int) bool { return false }

func signalStop(int) error { return errSystem }

func signalKill(int) error { return errSystem }

func detached() *syscall.SysProcAttr { return nil }
