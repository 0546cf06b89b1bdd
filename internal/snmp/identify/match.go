package identify

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/entity"
)

// System is what a device says first.
type System struct {
	// Object is sysObjectID, dotted, without a dot in front.
	Object string
	Descr  string
	Name   string
	// Enterprises are the numbers below 1.3.6.1.4.1 where the device has anything,
	// the one of Object first.
	Enterprises []uint32
	// Has are those OIDs that rules ask for below which the device has something.
	Has []string
}

// Identity is what a device is. What is empty is not known.
type Identity struct {
	Vendor    string
	OS        string
	OSVersion string
	Hardware  string
	Serial    string
	// Class is one of Classes.
	Class string
	// EngineID is in hexadecimal (RFC 3411, section 5).
	EngineID string
	// Name is what the device calls itself.
	Name string
	// Evidence says why, one sentence each, for people.
	Evidence []string
	// System is what it was told by.
	System System

	chassisMaker string // by ENTITY-MIB
}

// Maker is who made the device, empty where that is not known. Vendor may be the name of a
// system that runs on machines of any maker; the maker is then that of the chassis, where
// the device tells it.
func (id *Identity) Maker() string {
	return cmp.Or(entity.Maker(id.Vendor), entity.Maker(id.chassisMaker))
}

// agents are enterprises whose sysObjectIDs tell what agent a device runs, not whose
// device it is: net-snmp, UCD, SNMP Research, and chips' makers whose numbers device
// makers left as they were.
func generic(enterprise uint32) bool {
	switch enterprise {
	case 0, 99, 2021, 8072, 10002, 4413, 3732, 27282, 16885:
		return true
	default:
		return false
	}
}

// Match says what a device is by the facts alone, without asking it anything.
func (f *Facts) Match(s System) Identity {
	id, _ := f.match(s)
	return id
}

func (f *Facts) match(s System) (Identity, []Read) {
	s.Descr = strings.TrimSpace(s.Descr)
	id := Identity{System: s, Name: s.Name}
	own := Enterprise(s.Object)
	var reads []Read
	for _, c := range f.fitting(s) {
		// What any Linux is called is no answer for a maker's own device.
		if c.rule.General && !generic(own) && own != 0 && id.Vendor == "" {
			f.byMaker(&id, own)
		}
		f.believe(&id, c)
		reads = append(reads, c.rule.Read...)
	}
	f.byMaker(&id, own)
	for _, number := range s.Enterprises {
		if id.Vendor == "" && number != own {
			f.byEnterprise(&id, number)
		}
	}
	return id, reads
}

// believe takes from a rule what no closer one has said.
func (f *Facts) believe(id *Identity, c candidate) {
	if c.rule.Vendor == "" && c.said["vendor"] == "" && id.Vendor == "" {
		for _, number := range append(c.rule.Enterprises, Enterprise(firstOf(c.rule.Objects))) {
			if maker, ok := f.makers[number]; ok && !maker.Software {
				id.Vendor = maker.Vendor
				break
			}
		}
	}
	told := []string{}
	set := func(what string, into *string, value string) {
		if *into == "" && value != "" {
			*into = value
			told = append(told, what+" "+value)
		}
	}
	set("vendor", &id.Vendor, cmp.Or(c.said["vendor"], c.rule.Vendor))
	known := id.OS
	set("OS", &id.OS, cmp.Or(c.said["os"], c.rule.OS))
	// The version of a kernel says nothing of the system that is made with it.
	if known == "" || known == id.OS && known == c.rule.OS {
		set("version", &id.OSVersion, cmp.Or(c.said["version"], c.rule.Version))
	}
	set("hardware", &id.Hardware, cmp.Or(c.said["hardware"], c.rule.Hardware))
	set("serial number", &id.Serial, c.said["serial"])
	set("class", &id.Class, c.rule.Class)
	if len(told) > 0 {
		id.Evidence = append(id.Evidence, fmt.Sprintf("rule %s: %s", c.rule.Name, strings.Join(told, ", ")))
	}
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// byMaker takes from the owner of sysObjectID what no rule has said.
func (f *Facts) byMaker(id *Identity, own uint32) {
	if own == 0 || generic(own) {
		return
	}
	maker, ok := f.makers[own]
	if !ok {
		if id.Vendor == "" {
			if id.Vendor = Organization(own); id.Vendor != "" {
				id.Evidence = append(id.Evidence, fmt.Sprintf("enterprise %d of sysObjectID: vendor %s", own, id.Vendor))
			}
		}
	} else if id.Vendor == "" && !maker.Software {
		id.Vendor = maker.Vendor
		id.Evidence = append(id.Evidence, fmt.Sprintf("enterprise %d of sysObjectID: vendor %s", own, id.Vendor))
	}
	if ok && id.Vendor == maker.Vendor {
		id.OS = cmp.Or(id.OS, maker.OS)
		id.Class = cmp.Or(id.Class, maker.Class)
	}
	if id.OS == "" && id.Vendor != "" {
		// Embedded systems without a name of their own.
		id.OS = id.Vendor + " firmware"
	}
}

// byEnterprise takes the vendor from whose objects the device has.
func (f *Facts) byEnterprise(id *Identity, number uint32) {
	if generic(number) {
		return
	}
	maker, ok := f.makers[number]
	switch {
	case ok && maker.Software:
		return
	case ok:
		id.Vendor, id.Class = maker.Vendor, cmp.Or(id.Class, maker.Class)
		id.OS = cmp.Or(id.OS, maker.OS)
	default:
		id.Vendor = Organization(number)
	}
	if id.Vendor != "" {
		id.Evidence = append(id.Evidence, fmt.Sprintf("it has objects of enterprise %d: vendor %s", number, id.Vendor))
	}
}
