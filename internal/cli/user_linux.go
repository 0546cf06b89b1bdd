package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

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
//	the home of a package                 | the home's owner | all capabilities: a person
//	                                      |                  | said sudo
//	our image, $AMOSKYS_RUN_AS            | that user        | those that agents use
//
// In our image, one who is not root and serves must be able to write the home.
func (e *Env) leaveRoot(packaged config.Home, serves bool) error {
	if e.variable(config.EnvSupervised) == "1" {
		return nil
	}
	runAs := e.variable(config.EnvRunAs)
	switch {
	case runAs != "" && os.Geteuid() != 0:
		if serves {
			return makeHome(e.Home)
		}
	case runAs != "":
		n, err := strconv.Atoi(runAs)
		if err != nil || n < 1 {
			return fmt.Errorf("$%s is %q: it takes the number of a user, from 1", config.EnvRunAs, runAs)
		}
		if serves {
			if err := give(e.Home, user{n, n}); err != nil {
				return err
			}
		}
		return become(user{n, n}, usedByAgents())
	case packaged != "" && os.Geteuid() == 0 && e.Home.Same(packaged):
		info, err := os.Stat(string(packaged))
		if err != nil {
			return nil //nolint:nilerr // the command says what is missing
		}
		if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != 0 {
			return become(user{int(of.Uid), int(of.Gid)}, ^uint64(0))
		}
	}
	return nil
}

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
func give(home config.Home, to user) error {
	for _, dir := range volumes(home) {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = giveAll(dir, to)
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

// giveAll gives all in a folder to a user. Names are of this folder alone, whatever links
// are put into it meanwhile.
func giveAll(dir string, to user) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what was done
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if of, ok := info.Sys().(*syscall.Stat_t); ok && int(of.Uid) == to.uid && int(of.Gid) == to.gid {
			return nil
		}
		if name == "." { // Docker makes a missing one for all to read
			if err := root.Chmod(name, 0o700); err != nil {
				return err
			}
		}
		return root.Lchown(name, to.uid, to.gid)
	})
	return errors.Join(err, root.Close())
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
func become(to user, keep uint64) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the running program: %w", err)
	}
	runtime.LockOSThread()
	if err := assume(to, keep); err != nil {
		return fmt.Errorf("go on as user %d: %w", to.uid, err)
	}
	return fmt.Errorf("go on as user %d: %w", to.uid, syscall.Exec(program, os.Args, os.Environ())) //nolint:gosec // it is this program
}

// assume makes the calling thread that of a user, with the capabilities as ambient ones
// (capabilities(7)).
func assume(to user, keep uint64) error {
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
