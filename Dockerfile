# The image of audittrail: one static binary, run by a user without rights. `just image` builds it, `just image-check`
# checks it. Bases are pinned by digest, and the only layer of our own holds one file with the commit's time, so the
# same commit makes the same layers.

# Runs on the builder's own platform and cross-compiles.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm@sha256:dc9ad6c05acc7a88e5b71bde60a5fe3bd4b9f0db209011711b464107438a8107 AS build
ARG TARGETOS=linux
ARG TARGETARCH
# grpcnotrace leaves out pages that nobody sees, and with them 20 MB: their templates keep the linker from leaving out methods.
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -tags=grpcnotrace"
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
# With .git, from which Go takes the version that `audittrail version` tells: build from a clone, not from a worktree.
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS="$TARGETOS" GOARCH="$TARGETARCH" go build -ldflags='-s -w -buildid=' -o /out/audittrail . \
    && touch --date="@$(git log -1 --format=%ct)" /out/audittrail

# Google's distroless static-debian12:nonroot: certificate authorities, time zones, user 65532, no shell. Its working
# directory is /home/nonroot; mount a volume there, or name notary.state_file on one.
FROM gcr.io/distroless/static-debian12:nonroot@sha256:d093aa3e30dbadd3efe1310db061a14da60299baff8450a17fe0ccc514a16639
ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="audittrail" \
      org.opencontainers.image.description="Stores business events from Kafka exactly once in PostgreSQL and proves their history" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/audittrail /audittrail
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/audittrail"]
CMD ["serve"]
