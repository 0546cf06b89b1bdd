package flow

import (
	"bytes"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/entity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// describer tells of processes what finds them in the events of the process agent.
type describer struct {
	hostID, bootID string
	users          map[uint32]string
}

// maxUsers bounds the names of users that are remembered.
const maxUsers = 1024

func newDescriber(hostID string) describer {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it, as with an empty one
	return describer{hostID: hostID, bootID: string(bytes.TrimSpace(boot)), users: map[uint32]string{}}
}

// process describes a process, nil if it is gone.
func (d *describer) process(pid int) *pb.Process {
	folder := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return nil
	}
	s, ok := parseStat(text)
	if !ok {
		return nil
	}
	p := &pb.Process{
		Pid: uint32(pid), Ppid: s.parent, Name: s.name,
		Uid: entity.ProcessUID(d.hostID, d.bootID, uint64(pid), s.start),
	}
	if path, err := os.Readlink(folder + "/exe"); err == nil {
		p.Executable = clean(strings.TrimSuffix(path, " (deleted)"))
	}
	var info unix.Stat_t
	if err := unix.Stat(folder, &info); err == nil {
		p.User = &pb.User{Uid: strconv.FormatUint(uint64(info.Uid), 10), Name: d.user(info.Uid)}
	}
	return p
}

// user is the name of a user, empty if there is none.
func (d *describer) user(id uint32) string {
	if name, known := d.users[id]; known {
		return name
	}
	name := ""
	if u, err := user.LookupId(strconv.FormatUint(uint64(id), 10)); err == nil {
		name = clean(u.Username)
	}
	if len(d.users) >= maxUsers {
		clear(d.users)
	}
	d.users[id] = name
	return name
}
