// Command sbom writes the bill of materials of a built program as CycloneDX 1.5 JSON:
// the modules that the linker put into it, with the checksums by which Go knows them,
// and the packages of the web UI that it embeds. It says nothing of when or where it
// ran, so that the same program has the same bill.
//
//	sbom -npm web/package-lock.json PROGRAM >PROGRAM.cdx.json
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	npm := flags.String("npm", "", "package-lock.json of the web UI that the program embeds")
	version := flags.String("version", "", "version of the program, where the toolchain stamped none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one program")
	}
	bill, err := read(flags.Arg(0), *version)
	if err != nil {
		return err
	}
	if *npm != "" {
		packages, err := readLock(*npm)
		if err != nil {
			return err
		}
		bill.Components = append(bill.Components, packages...)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(bill)
}

// document is what we write of https://cyclonedx.org/docs/1.5/json/.
type document struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	Expression string `json:"expression"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// read makes the bill of a program from what the linker wrote into it.
func read(program, version string) (document, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return document{}, fmt.Errorf("read what is in %s: %w", program, err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(text)
	if version == "" {
		version = info.Main.Version
	}
	bill := document{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{}}
	bill.Metadata.Component = component{
		Type: "application", Ref: "program", Name: filepath.Base(program), Version: version,
		PURL:     goURL(info.Main.Path, version),
		Hashes:   []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		Licenses: []license{{"Apache-2.0"}},
	}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" || s.Key == "vcs.revision" {
			bill.Metadata.Component.Properties = append(bill.Metadata.Component.Properties, property{"build:" + s.Key, s.Value})
		}
	}
	bill.Components = append(bill.Components, component{
		Type: "library", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"),
		PURL: goURL("std", strings.TrimPrefix(info.GoVersion, "go")), Licenses: []license{{"BSD-3-Clause"}},
	})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: goURL(m.Path, m.Version)}
		c.Ref = c.PURL
		// A hash of the module's files (golang.org/ref/mod#go-sum-files), in base64.
		if raw, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
			if b, err := base64.StdEncoding.DecodeString(raw); err == nil {
				c.Properties = []property{{"go:sum:h1", hex.EncodeToString(b)}}
			}
		}
		bill.Components = append(bill.Components, c)
	}
	return bill, nil
}

func goURL(path, version string) string {
	if version == "" {
		return "pkg:golang/" + path
	}
	return "pkg:golang/" + path + "@" + url.PathEscape(version)
}

// readLock lists the packages of a package-lock.json that its project is not only
// developed with.
func readLock(file string) ([]component, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version   string `json:"version"`
			License   string `json:"license"`
			Integrity string `json:"integrity"`
			Dev       bool   `json:"dev"`
			Optional  bool   `json:"optional"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var out []component
	for place, p := range lock.Packages {
		at := strings.LastIndex(place, "node_modules/")
		if at < 0 || p.Dev || p.Optional {
			continue
		}
		name := place[at+len("node_modules/"):]
		c := component{Type: "library", Name: name, Version: p.Version}
		c.PURL = "pkg:npm/" + strings.ReplaceAll(name, "@", "%40") + "@" + url.PathEscape(p.Version)
		if p.License != "" {
			c.Licenses = []license{{p.License}}
		}
		if raw, ok := strings.CutPrefix(p.Integrity, "sha512-"); ok {
			if b, err := base64.StdEncoding.DecodeString(raw); err == nil {
				c.Hashes = []hash{{"SHA-512", hex.EncodeToString(b)}}
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b component) int { return strings.Compare(a.PURL, b.PURL) })
	return slices.CompactFunc(out, func(a, b component) bool { return a.PURL == b.PURL }), nil
}
