# The whole of AMOSKYS in one image: docker build -t amoskys:latest .
# Without $AMOSKYS_ROLE it runs everything, as amoskys up does; see docs/install.md.
# deploy/docker/Dockerfile is the same file, and Dockerfile.prebuilt packs a program that
# is built already.
# Builders without BuildKit, as Debian's docker.io has, know no BUILDPLATFORM and no TARGETARCH:
# they build for their own machine.
ARG GO_IMAGE=golang:1.26-bookworm
ARG NODE_IMAGE=node:22-bookworm-slim

FROM --platform=${BUILDPLATFORM:-linux} ${NODE_IMAGE} AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund
# The documents are made into pages, with links into the whole tree that are checked.
COPY . /src
RUN npm run --silent build

FROM --platform=${BUILDPLATFORM:-linux} ${GO_IMAGE} AS build
# Without defaults, which would win over what the builder says.
ARG TARGETOS
ARG TARGETARCH
# What `amoskys version` tells; the context has no history.
ARG VERSION=0.0.0
ARG REVISION=
ARG REVISION_TIME=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/dist web/dist
RUN tools/build-programs.sh "${TARGETOS:-linux}/${TARGETARCH:-$(go env GOARCH)}" /out amoskys && \
    deploy/docker/layout.sh /image /out/amoskys

FROM scratch
COPY --from=build /image/usr /usr
COPY --from=build /image/etc /etc
COPY --from=build --chown=65532:65532 /image/app /app
ENV AMOSKYS_HOME=/app \
    AMOSKYS_ROLE=standalone \
    AMOSKYS_RUN_AS=65532 \
    AMOSKYS_SERVER_HOST=0.0.0.0 \
    AMOSKYS_HTTP_HOST=0.0.0.0 \
    TMPDIR=/app/data/run
WORKDIR /app
VOLUME ["/app/certs", "/app/data"]
EXPOSE 5000 5001 5002 9090 50001-50006 1162/udp
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["/usr/local/bin/amoskys", "healthcheck"]
# It begins as root, gives its volumes to user 65532 and goes on as that user before it
# opens a port. With --user it is that user from the start.
ENTRYPOINT ["/usr/local/bin/amoskys"]
