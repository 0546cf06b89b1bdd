// Package geo tells the country and the autonomous system of addresses, from databases
// in MaxMind's format (MaxMind DB file format, version 2.0) that the user provides. We
// ship none.
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/oschwald/maxminddb-golang/v2"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// maxFile bounds a database in bytes; it is held in memory whole, so that a file that
	// is written over while it is read ends nothing.
	maxFile = 512 << 20
	// maxPlaces bounds the addresses that are remembered, by two halves.
	maxPlaces = 16_384
	// maxOrganization bounds a name in bytes.
	maxOrganization = 128
	// tooOld is the age of a database that is told: addresses move.
	tooOld = 180 * 24 * time.Hour
)

// Config says where the databases are. Both may be empty, and both the same file.
type Config struct {
	CityOrCountryDB string `yaml:"city_or_country_db"`
	ASNDB           string `yaml:"asn_db"`
}

// Place is what is known of an address; what is not is empty or 0.
type Place struct {
	Country      string // ISO 3166-1 alpha-2
	AS           uint32
	Organization string // of the autonomous system
}

// Atlas answers from some files. It may be used concurrently.
type Atlas struct {
	files []*file

	mu         sync.Mutex // guards what follows, and files
	young, old map[netip.Addr]Place
	// unread counts addresses whose record could not be read since the last change.
	unread uint64
}

// file is one database.
type file struct {
	path   string
	looked bool
	mod    time.Time // of what was read, or could not be
	size   int64
	db     *maxminddb.Reader // nil while none was read
	fault  error             // of the last try
}

// New returns an Atlas of some files, of which those with no name count for nothing. It
// knows nothing before Refresh.
func New(paths ...string) *Atlas {
	a := &Atlas{}
	for _, p := range paths {
		if p != "" {
			a.files = append(a.files, &file{path: p})
		}
	}
	return a
}

// Refresh reads files that have changed, and says what is wrong with those that there
// are: missing, damaged, or older than 180 days by now. One that cannot be read leaves
// what was read of it before in use.
func (a *Atlas) Refresh(now time.Time) error {
	var faults []error
	for _, f := range a.files {
		a.refresh(f)
		a.mu.Lock()
		switch {
		case f.fault != nil && f.db != nil:
			faults = append(faults, fmt.Errorf("%w; what was read before is still used", f.fault))
		case f.fault != nil:
			faults = append(faults, f.fault)
		default:
			if built := time.Unix(int64(min(f.db.Metadata.BuildEpoch, 1<<40)), 0); now.Sub(built) > tooOld {
				faults = append(faults, fmt.Errorf("the database %s is of %s: countries and networks may be wrong, put a newer one there",
					f.path, built.UTC().Format(time.DateOnly)))
			}
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unread > 0 {
		faults = append(faults, fmt.Errorf("a database is damaged: %d addresses could not be looked up; put a whole one there", a.unread))
	}
	return errors.Join(faults...)
}

// Ready reports whether each file was read, be it before its last change.
func (a *Atlas) Ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !slices.ContainsFunc(a.files, func(f *file) bool { return f.db == nil })
}

// Version tells the databases that were read from others: of each its type, when it was
// built in Unix seconds, and its size in bytes.
func (a *Atlas) Version() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out strings.Builder
	for _, f := range a.files {
		if f.db != nil {
			fmt.Fprintf(&out, "%q %d %d;", f.db.Metadata.DatabaseType, f.db.Metadata.BuildEpoch, f.size)
		}
	}
	return out.String()
}

// refresh reads a file if it has changed. Refresh alone calls it, in one goroutine at a
// time.
func (a *Atlas) refresh(f *file) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		a.mu.Lock()
		f.fault, f.looked = fmt.Errorf("open the database: %w", err), false
		a.mu.Unlock()
		return
	case f.looked && info.ModTime().Equal(f.mod) && info.Size() == f.size:
		return
	}
	db, err := read(f.path, info)
	a.mu.Lock()
	defer a.mu.Unlock()
	f.looked, f.mod, f.size, f.fault = true, info.ModTime(), info.Size(), err
	if err == nil {
		f.db = db
		a.young, a.old, a.unread = nil, nil, 0
	}
}

// read reads a whole database.
func read(path string, info os.FileInfo) (db *maxminddb.Reader, err error) {
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("the database %s is no file of at most %d MiB", path, maxFile>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	defer func() {
		if cause := recover(); cause != nil {
			db, err = nil, fmt.Errorf("the database %s is damaged", path)
		}
	}()
	if db, err = maxminddb.OpenBytes(data); err != nil {
		return nil, fmt.Errorf("the database %s is none of MaxMind's format, or damaged: %w", path, err)
	}
	return db, nil
}

// Of tells of an address. Private ones, and others that no database can know, have no
// place.
func (a *Atlas) Of(ip netip.Addr) Place {
	if ip = ip.Unmap(); !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return Place{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p, known := a.young[ip]
	if known {
		return p
	}
	if p, known = a.old[ip]; !known {
		p = a.lookUp(ip)
	}
	if a.young == nil || len(a.young) >= maxPlaces/2 {
		a.old, a.young = a.young, map[netip.Addr]Place{}
	}
	a.young[ip] = p
	return p
}

// record is what is read of a database's records, whatever else they hold.
type record struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Registered struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"registered_country"`
	AS           uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

// lookUp asks all files. The caller holds mu.
func (a *Atlas) lookUp(ip netip.Addr) (p Place) {
	for _, f := range a.files {
		if f.db == nil {
			continue
		}
		r, err := decode(f.db, ip)
		if err != nil {
			a.unread++
			continue
		}
		for _, code := range []string{r.Country.Code, r.Registered.Code} {
			if p.Country == "" && isCountry(code) {
				p.Country = code
			}
		}
		if p.AS == 0 && r.AS != 0 {
			p.AS, p.Organization = r.AS, clean(r.Organization)
		}
	}
	return p
}

// decode reads one record. A damaged file may say anything.
func decode(db *maxminddb.Reader, ip netip.Addr) (r record, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("read the database: %v", cause)
		}
	}()
	if ip.Is6() && db.Metadata.IPVersion == 4 {
		return r, nil
	}
	err = db.Lookup(ip).Decode(&r)
	return r, err
}

// isCountry reports whether a code has the form of ISO 3166-1 alpha-2.
func isCountry(code string) bool {
	return len(code) == 2 && code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'
}

// clean bounds a name and takes control characters out of it.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name[:min(len(name), maxOrganization)], ""))
}

// Fill adds what is known of both ends of a flow, where nothing is said yet.
func (a *Atlas) Fill(n *pb.NetworkActivity) {
	for _, e := range []*pb.Endpoint{n.GetSrcEndpoint(), n.GetDstEndpoint()} {
		ip, err := netip.ParseAddr(e.GetIp())
		if err != nil {
			continue
		}
		p := a.Of(ip)
		if e.Country == "" {
			e.Country = p.Country
		}
		if e.AsNumber == 0 {
			e.AsNumber, e.AsOrganization = p.AS, p.Organization
		}
	}
}
