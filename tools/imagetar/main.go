// Imagetar packs the image as Dockerfile.prebuilt describes it, without a Docker daemon:
//
//	imagetar DOCKERFILE CONTEXT NAME:TAG OUT.tar
//
// The archive is of the kind that docker save writes, which docker load and
// ctr images import read. The same files give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "use: imagetar DOCKERFILE CONTEXT NAME:TAG OUT.tar")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "imagetar:", err)
		os.Exit(1)
	}
}

func run(dockerfile, context, tag, out string) error {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return err
	}
	b := builder{context: context}
	b.config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, line := range instructions(string(text)) {
		if err := b.do(line); err != nil {
			return fmt.Errorf("%s: %q: %w", dockerfile, line, err)
		}
	}
	if err := b.layer.Close(); err != nil {
		return err
	}
	return b.save(tag, out)
}

// instructions are the lines of a Dockerfile without comments, continued ones joined.
func instructions(text string) []string {
	var all []string
	joined := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		more := strings.HasSuffix(line, `\`)
		joined += " " + strings.TrimSpace(strings.TrimSuffix(line, `\`))
		if !more {
			all, joined = append(all, strings.TrimSpace(joined)), ""
		}
	}
	return all
}

// imageConfig is the part of an image's configuration that we have (OCI image-spec,
// config.md).
type imageConfig struct {
	Env          []string            `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
}

type builder struct {
	context string
	config  imageConfig
	packed  bytes.Buffer
	layer   *tar.Writer
}

// do carries out one instruction. HEALTHCHECK is Docker's own: clusters have probes.
func (b *builder) do(line string) error {
	if b.layer == nil {
		b.layer = tar.NewWriter(&b.packed)
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "HEALTHCHECK":
		return nil
	case "FROM":
		if rest != "scratch" {
			return errors.New("only an image from scratch can be packed without a daemon")
		}
		return nil
	case "ENV":
		b.config.Env = append(b.config.Env, strings.Fields(rest)...)
		return nil
	case "WORKDIR":
		b.config.WorkingDir = rest
		return nil
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &b.config.Entrypoint)
	case "VOLUME":
		var volumes []string
		if err := json.Unmarshal([]byte(rest), &volumes); err != nil {
			return err
		}
		b.config.Volumes = set(volumes)
		return nil
	case "EXPOSE":
		return b.expose(strings.Fields(rest))
	case "COPY":
		return b.copyTree(strings.Fields(rest))
	}
	return errors.New("this instruction is not known here")
}

func set(names []string) map[string]struct{} {
	out := map[string]struct{}{}
	for _, n := range names {
		out[n] = struct{}{}
	}
	return out
}

func (b *builder) expose(ports []string) error {
	b.config.ExposedPorts = map[string]struct{}{}
	for _, p := range ports {
		numbers, protocol, named := strings.Cut(p, "/")
		if !named {
			protocol = "tcp"
		}
		from, to, isRange := strings.Cut(numbers, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		for n := first; n <= last; n++ {
			b.config.ExposedPorts[strconv.Itoa(n)+"/"+protocol] = struct{}{}
		}
	}
	return nil
}

// copyTree is COPY [--chown=UID:GID] FROM TO of one folder.
func (b *builder) copyTree(args []string) error {
	uid, gid := 0, 0
	if owner, is := strings.CutPrefix(args[0], "--chown="); is {
		if _, err := fmt.Sscanf(owner, "%d:%d", &uid, &gid); err != nil {
			return err
		}
		args = args[1:]
	}
	if len(args) != 2 {
		return errors.New("COPY takes a folder and where it goes")
	}
	from, to := filepath.Join(b.context, args[0]), path.Clean(args[1])
	return filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		return b.add(file, strings.TrimPrefix(path.Join(to, filepath.ToSlash(rel)), "/"), d, uid, gid)
	})
}

// add packs one file, folder or link, without times and names of users.
func (b *builder) add(file, name string, d fs.DirEntry, uid, gid int) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	}
	h := &tar.Header{Name: name, Linkname: link, Mode: int64(info.Mode().Perm()), Uid: uid, Gid: gid, Format: tar.FormatPAX}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case link != "":
		h.Typeflag = tar.TypeSymlink
	default:
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
	}
	if err := b.layer.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(b.layer, f)
	return errors.Join(err, f.Close())
}

// save writes the archive: the layer, the configuration, and a manifest of both.
func (b *builder) save(tag, out string) error {
	sum := sha256.Sum256(b.packed.Bytes())
	digest := hex.EncodeToString(sum[:])
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": b.config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return err
	}
	configSum := sha256.Sum256(config)
	configName := hex.EncodeToString(configSum[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{tag}, "Layers": []string{digest + ".tar"}}})
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	for _, part := range []struct {
		name string
		text []byte
	}{{digest + ".tar", b.packed.Bytes()}, {configName, config}, {"manifest.json", manifest}} {
		if err := w.WriteHeader(&tar.Header{Name: part.name, Mode: 0o644, Size: int64(len(part.text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(part.text); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), f.Close())
}
