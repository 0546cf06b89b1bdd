package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket is a bucket of S3, or of what speaks like it, and a prefix in it.
type bucket struct {
	client         *minio.Client
	stall          time.Duration // for how long nothing may come, or go
	bucket, prefix string        // the prefix is empty, or ends with a slash
}

// amazon is where buckets lie if nobody says otherwise.
const amazon = "https://s3.amazonaws.com"

// openS3 returns the place BUCKET/PREFIX. Address, region and keys come from the variables
// that Amazon's own tools read.
func openS3(ctx context.Context, name string, lookup func(string) (string, bool)) (*bucket, error) {
	env := func(name string) string {
		if lookup == nil {
			return ""
		}
		v, _ := lookup(name)
		return v
	}
	b := &bucket{stall: s3Stall}
	b.bucket, b.prefix, _ = strings.Cut(strings.Trim(name, "/"), "/")
	if b.prefix = strings.Trim(b.prefix, "/"); b.prefix != "" {
		b.prefix += "/"
	}
	if b.bucket == "" {
		return nil, errors.New("name the bucket: s3://BUCKET/PREFIX")
	}
	address := cmp.Or(env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL"), amazon)
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL is %q: write it as https://HOST:PORT", address)
	}
	keys := []credentials.Provider{
		&credentials.Static{Value: credentials.Value{
			AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN"),
		}},
		&credentials.FileAWSCredentials{},
	}
	if env("AWS_ACCESS_KEY_ID") == "" {
		keys = keys[1:]
	}
	b.client, err = minio.New(u.Host, &minio.Options{
		Creds: credentials.NewChainCredentials(keys), Secure: u.Scheme == "https", Region: cmp.Or(env("AWS_REGION"), env("AWS_DEFAULT_REGION")),
		MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", address, err)
	}
	there, err := b.client.BucketExists(ctx, b.bucket)
	if err != nil {
		return nil, fmt.Errorf("ask %s for bucket %s: %w", address, b.bucket, explainS3(err))
	}
	if !there {
		return nil, fmt.Errorf("%s has no bucket %s: make it first, private, and keep others from deleting there", address, b.bucket)
	}
	return b, nil
}

// s3Tries is how often a request is tried; pauses grow to a second.
const s3Tries = 5

// explainS3 adds what to do to errors that have one.
func explainS3(err error) error {
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%w (the keys are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of ~/.aws/credentials)", err)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// String implements Place.
func (b *bucket) String() string {
	return "s3://" + strings.TrimSuffix(b.bucket+"/"+b.prefix, "/")
}

// s3Stall is for how long a bucket may be silent in the middle of something, and how long it
// may take to store a piece that it has.
const s3Stall = time.Minute

// errStalled says that a bucket has stopped in the middle.
var errStalled = errors.New("the bucket has stopped in the middle, and says nothing more")

// moving ends ctx when nothing has moved for a while; moved says that something has.
func (b *bucket) moving(ctx context.Context) (_ context.Context, moved, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(b.stall, func() { cancel(errStalled) })
	return ctx, func() { timer.Reset(b.stall) }, func() { timer.Stop(); cancel(nil) }
}

// stalled is err, or that nothing moved any more.
func stalled(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// watched says of each read that something moves.
type watched struct {
	io.Reader

	moved func()
}

// Read implements io.Reader.
func (w watched) Read(p []byte) (int, error) {
	w.moved()
	return w.Reader.Read(p) //nolint:wrapcheck // it is the reader's
}

// Put implements Place.
func (b *bucket) Put(ctx context.Context, name string, content []byte) error {
	ctx, moved, end := b.moving(ctx)
	defer end()
	body := struct { // minio goes back to its beginning to try again
		watched
		io.Seeker
	}{watched{nil, moved}, nil}
	r := bytes.NewReader(content)
	body.Reader, body.Seeker = r, r
	_, err := b.client.PutObject(ctx, b.bucket, b.prefix+name, body, int64(len(content)), minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true,
	})
	return stalled(ctx, explainS3(err))
}

// Read implements Place.
func (b *bucket) Read(ctx context.Context, name string, most int64) (out []byte, err error) {
	ctx, moved, end := b.moving(ctx)
	defer end()
	o, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, stalled(ctx, explainS3(err))
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	out, err = io.ReadAll(io.LimitReader(watched{o, moved}, most))
	if err != nil {
		return nil, stalled(ctx, explainS3(err))
	}
	return out, nil
}

// List implements Place.
func (b *bucket) List(ctx context.Context, folder string, each func(Stored) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends who lists, should we end before
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + folder, Recursive: true}) {
		if o.Err != nil {
			return explainS3(o.Err)
		}
		if err := each(Stored{Name: strings.TrimPrefix(o.Key, b.prefix), Size: o.Size, Changed: o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Remove implements Place.
func (b *bucket) Remove(ctx context.Context, name string) error {
	return explainS3(b.client.RemoveObject(ctx, b.bucket, b.prefix+name, minio.RemoveObjectOptions{}))
}
