// The program ouitable makes the table of MAC vendors that internal/inventory/oui
// embeds, from the facts of the IEEE's registries of MA-L, MA-M and MA-S
// (https://standards.ieee.org/products-programs/regauth/):
//
//	go run ./ouitable -date 2026-11-01 -out ../internal/inventory/oui/vendors.bin FILE...
//
// FILE is oui.csv, mam.csv or oui36.csv as the IEEE publishes them and Debian's package
// ieee-data has them, or a JSON object from prefixes to names as the npm package
// oui-data has it. Of each assignment it keeps prefix and name of the organisation
// without its legal form, each name once.
package main

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	out := flag.String("out", "vendors.bin", "file to write")
	date := flag.String("date", "", "day of the registries, such as 2026-11-01")
	flag.Parse()
	if err := run(*out, *date, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "ouitable:", err)
		os.Exit(1)
	}
}

func run(out, date string, files []string) error {
	if len(date) != 10 || len(files) == 0 {
		return errors.New("give -date as YYYY-MM-DD, and files of the registries")
	}
	names := map[string]string{} // by prefix in upper-case hexadecimal
	for _, file := range files {
		read := readCSV
		if filepath.Ext(file) == ".json" {
			read = readJSON
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = read(f, names)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	table, err := encode(date, names)
	if err != nil {
		return err
	}
	fmt.Printf("%d prefixes, %d bytes\n", len(names), len(table))
	return os.WriteFile(out, table, 0o644) //nolint:gosec // a file of the repository, which whoever builds it may read
}

// readCSV reads rows of registry, assignment, name and address.
func readCSV(r io.Reader, names map[string]string) error {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(row) >= 3 {
			note(names, row[1], row[2])
		}
	}
}

func readJSON(r io.Reader, names map[string]string) error {
	var all map[string]string
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		return err
	}
	for prefix, text := range all {
		name, _, _ := strings.Cut(text, "\n")
		note(names, prefix, name)
	}
	return nil
}

// note keeps an assignment of 24, 28 or 36 bits.
func note(names map[string]string, prefix, name string) {
	prefix = strings.ToUpper(strings.TrimSpace(prefix))
	if n := len(prefix); n != 6 && n != 7 && n != 9 {
		return
	}
	if _, err := hex.DecodeString(prefix + strings.Repeat("0", len(prefix)%2)); err != nil {
		return
	}
	if name = tidy(name); name != "" {
		names[prefix] = name
	}
}

// legal matches a legal form at the end of a name.
var legal = regexp.MustCompile(`(?i)[\s,.;]+(?:(?:co|company|pte|pvt|pty|sdn|private)[\s,.]*)*[\s,.(]*(?:inc|incorporated|ltd|ltda|limited|llc|l\.l\.c|llp|lp|corp|corporation|co|company|gmbh|gmbh & co\.? kg|kg|ag|bv|b\.v|nv|n\.v|sa|s\.a|sas|s\.a\.s|srl|s\.r\.l|spa|s\.p\.a|oy|oyj|ab|a/s|aps|as|kk|k\.k|plc|bhd|a\.s|s\.l|sl|sarl|s\.r\.o|d\.o\.o|zrt|kft|sp\. ?z ?o\.? ?o|oü|pty|pte|pvt)[\s.,)]*$`)

// tidy gives a name without its legal form; empty where nobody may be named: of ranges
// that are assigned further, and of those whose holder is private.
func tidy(name string) string {
	name = strings.Join(strings.Fields(strings.ToValidUTF8(name, "")), " ")
	switch strings.ToLower(name) {
	case "private", "ieee registration authority", "":
		return ""
	}
	for {
		short := strings.TrimRight(legal.ReplaceAllString(name, ""), " ,.;(&-")
		if short == name || len(short) < 2 {
			break
		}
		name = short
	}
	if len(name) > 60 {
		name = strings.TrimSpace(strings.ToValidUTF8(name[:60], ""))
	}
	return name
}

// encode writes the table as internal/inventory/oui reads it: its comment describes it.
func encode(date string, names map[string]string) ([]byte, error) {
	var blob []byte
	at := map[string]uint32{}
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, name)
	}
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		at[name] = uint32(len(blob))
		blob = append(append(blob, byte(len(name))), name...)
	}
	if len(blob) >= 1<<24 {
		return nil, errors.New("the names take more than 16 MiB")
	}
	table := append([]byte("AMOUI\x00\x00\x01"), date...)
	var body []byte
	for _, digits := range []int{6, 7, 9} {
		var prefixes []string
		for p := range names {
			if len(p) == digits {
				prefixes = append(prefixes, p)
			}
		}
		slices.Sort(prefixes)
		table = binary.BigEndian.AppendUint32(table, uint32(len(prefixes)))
		for _, p := range prefixes {
			b, err := hex.DecodeString(p + strings.Repeat("0", digits%2))
			if err != nil {
				return nil, err
			}
			where := at[names[p]]
			body = append(append(body, b...), byte(where>>16), byte(where>>8), byte(where))
		}
	}
	table = binary.BigEndian.AppendUint32(table, uint32(len(blob)))
	return append(append(table, body...), blob...), nil
}
