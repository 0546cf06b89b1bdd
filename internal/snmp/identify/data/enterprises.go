//go:build ignore

// Makes enterprises.tsv.gz of IANA's list of private enterprise numbers:
//
//	go run internal/snmp/identify/data/enterprises.go enterprise-numbers.txt
//
// It keeps numbers and names of organizations, and none of people.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("which file is IANA's list?")
	}
	in, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	packed, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	lines := bufio.NewScanner(in)
	number, started := "", false
	for lines.Scan() {
		line := lines.Text()
		started = started || line == "0"
		if !started {
			continue
		}
		switch trimmed := strings.TrimSpace(line); {
		case line == trimmed && line != "":
			number = ""
			if _, err := strconv.ParseUint(line, 10, 32); err == nil {
				number = line
			}
		case number != "" && trimmed != "":
			if name := strings.Trim(trimmed, "- "); name != "" && name != "none" && !strings.EqualFold(name, "unassigned") {
				fmt.Fprintf(packed, "%s\t%s\n", number, strings.ReplaceAll(trimmed, "\t", " "))
			}
			number = ""
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("internal/snmp/identify/data/enterprises.tsv.gz", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
