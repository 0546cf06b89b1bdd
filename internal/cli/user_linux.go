package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/config"
)

// user is whom a root goes on as.
type user struct{ uid, gid int }

// leaveRoot begins this program anew as the user whose home e.Home is, for what root
// writes there that user could not read. It returns where there is nothing to do; the
// error says why it could not be done. packaged is the home that a package gave this
// program; serves says that the command is a role.
//
//	who is root where                     | goes on as       | and keeps
//	--------------------------------------+------------------+---------------------------
//	the home of a package                 | the home's owner | what the command needs, as
//	                                      |                  | keptIn says
//	our image, $AMOSKYS_RUN_AS            | that user        | those that agents use
//
// In our image, one who is not root and serves must be able to write the home. What ends
// ctx ends this too: the program that begins anew would not know of a signal of before.
func (e *Env) leaveRoot(ctx context.Context, packaged config.Home, cmd *cobra.Command) error {
	if e.variable(config.EnvSupervised) == "1" {
		return nil
	}
	runAs, serves := e.variable(config.EnvRunAs), servesLong(cmd)
	switch {
	case runAs != "" && os.Geteuid() != 0:
		if serves {
			return makeHome(e.Home)
		}
	case runAs != "":
		n, err := strconv.Atoi(runAs)
		if err != nil || n < 1 || n > lastUser {
			return fmt.Errorf("$%s is %q: it takes the number of a user, from 1 to %d", config.EnvRunAs, runAs, lastUser)
		}
		if serves {
			if err := give(ctx, e.Home, user{n, n}); err != nil {
				return err
			}
		}
		err = become(ctx, user{n, n}, usedByAgents())
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: start the container with --user %d:%[2]d, or let it keep the capabilities SETUID and SETGID", err, n)
		}
		return err
	case packaged != "" && os.Geteuid() == 0 && e.Home.Same(packaged):
		info, err := os.Stat(string(packaged))
		if err != nil {
			return nil //nolint:nilerr // the command says what is missing
		}
		if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != 0 {
			return become(ctx, user{int(of.Uid), int(of.Gid)}, keptIn(cmd))
		}
	}
	return nil
}

// lastUser bounds the numbers of users. The kernel reads 32 bits: all ones mean no change,
// and longer numbers begin anew with root.
const lastUser = 1<<31 - 1

// keptIn are the capabilities, as bits, that a root keeps who goes on as the owner of a
// package's home. The owner may have laid links in it that lead elsewhere, so a command
// is to reach no further than it must:
//
//	the command                        | keeps
//	-----------------------------------+-------------------------------------------------
//	setup, which packages call unasked | none
//	asks the hub, or looks at the home | none
//	enroll, which may set up a service | all: a person said sudo
//	any other                          | what agents use, and reading and writing the
//	                                   | files that the person names
func keptIn(cmd *cobra.Command) uint64 {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	switch cmd.Name() {
	case setupCommand, "status", "user", "token", "agents", "where", "healthcheck", "version", "log-level", "down", "certs":
		return 0
	case "enroll":
		return allCapabilities
	default:
		return usedByAgents() | 1<<unix.CAP_DAC_OVERRIDE
	}
}

// allCapabilities are those that there are, as bits, and those that may come.
const allCapabilities = ^uint64(0)

// usedByAgents are the capabilities, as bits, that agents make use of in a container
// that has them.
func usedByAgents() (bits uint64) {
	for _, c := range []int{unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH} {
		bits |= 1 << c
	}
	return bits
}

// volumes are the folders of a home that an image keeps outside of itself.
func volumes(home config.Home) []string { return []string{home.Certs(), home.Data()} }

// give makes the volumes of a home and gives all in them to a user.
func give(ctx context.Context, home config.Home, to user) error {
	for _, dir := range volumes(home) {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = giveAll(ctx, dir, to)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, syscall.EROFS) {
			continue // served as it is, or the role says what it lacks
		}
		if err != nil {
			return fmt.Errorf("give %s to user %d: %w; on the host, run: sudo chown -R %[2]d:%[2]d FOLDER, where FOLDER is what is mounted at %[1]s", dir, to.uid, err)
		}
	}
	return nil
}

// giveAll gives a folder and all in it to a user, and nothing outside of it: another
// container that shares the volume may put links into it at any time.
func giveAll(ctx context.Context, dir string, to user) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what was done
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = root.Lstat(path)
		}
		if path != "." && errors.Is(err, fs.ErrNotExist) {
			return nil // who shares the volume has removed it meanwhile
		}
		if err != nil {
			return err
		}
		if of, ok := info.Sys().(*syscall.Stat_t); ok && int(of.Uid) == to.uid && int(of.Gid) == to.gid {
			return nil
		}
		if path == "." { // Docker makes a missing one for all to read
			if err := root.Chmod(path, 0o700); err != nil {
				return err
			}
		}
		return root.Lchown(path, to.uid, to.gid)
	})
}

// makeHome makes the folders of the home in our image, some of which are links into a
// volume, if this user can.
func makeHome(home config.Home) error {
	if err := checkWritable(home); err != nil {
		return err
	}
	if err := home.Ensure(); err != nil && !errors.Is(err, syscall.EROFS) {
		return err
	}
	return nil
}

// checkWritable says which volume this user cannot write, and what to do.
func checkWritable(home config.Home) error {
	for _, dir := range volumes(home) {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		if errors.Is(err, unix.ENOENT) {
			err = unix.Access(filepath.Dir(dir), unix.W_OK|unix.X_OK)
		}
		if err == nil || errors.Is(err, unix.EROFS) {
			continue
		}
		return fmt.Errorf("user %d cannot write %s (%w): on the host, run: sudo chown -R %[1]d FOLDER, where FOLDER is what is mounted at %[2]s; "+
			"or start the container without --user, which does so by itself and goes on as user $%[4]s", os.Geteuid(), dir, err, config.EnvRunAs)
	}
	return nil
}

// become begins this program anew as a user with those of the capabilities in keep that
// it holds. It returns only with an error. All happens in one thread, which nothing else
// may use afterwards, and whose credentials the program then has (execve(2)).
func become(ctx context.Context, to user, keep uint64) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the running program: %w", err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	runtime.LockOSThread()
	if err := assume(to, keep); err != nil {
		return fmt.Errorf("go on as user %d: %w", to.uid, err)
	}
	return fmt.Errorf("go on as user %d: %w", to.uid, syscall.Exec(program, os.Args, os.Environ())) //nolint:gosec // it is this program
}

// assume makes the calling thread that of a user, with the capabilities as ambient ones
// (capabilities(7)). Unless it keeps all, what it gives up is not to be had again, by no
// program that it runs.
func assume(to user, keep uint64) error {
	if keep != allCapabilities {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("renounce new privileges: %w", err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held [2]unix.CapUserData
	if err := unix.Capget(&header, &held[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	keep &= uint64(held[0].Permitted) | uint64(held[1].Permitted)<<32
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	// The package syscall would change all threads.
	for _, call := range []struct {
		name    string
		number  uintptr
		a, b, c uintptr
	}{
		{"leave groups", unix.SYS_SETGROUPS, 0, 0, 0},
		{"change group", unix.SYS_SETRESGID, uintptr(to.gid), uintptr(to.gid), uintptr(to.gid)},
		{"change user", unix.SYS_SETRESUID, uintptr(to.uid), uintptr(to.uid), uintptr(to.uid)},
	} {
		if _, _, errno := syscall.RawSyscall(call.number, call.a, call.b, call.c); errno != 0 {
			return fmt.Errorf("%s: %w", call.name, errno)
		}
	}
	for i := range held {
		part := uint32(keep >> (32 * i))
		held[i] = unix.CapUserData{Effective: part, Permitted: part, Inheritable: part}
	}
	if err := unix.Capset(&header, &held[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	var denied []string
	for n := range 64 {
		if keep&(1<<n) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0); err != nil {
			denied = append(denied, strconv.Itoa(n))
		}
	}
	if len(denied) > 0 { // by a securebit; agents then say what they lack
		fmt.Fprintf(os.Stderr, "capabilities that cannot be passed on: %s\n", strings.Join(denied, ", "))
	}
	return nil
}
