# The image of driftless: static binaries on an empty base.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker buildx build --platform linux/amd64,linux/arm64 …
#   docker build --target slim …    without the helpers: plain manifests alone
#
# The compilers run on the machine's own architecture and build for the one that is asked for,
# so no emulator is needed. Any other builder that knows these arguments does as well.

ARG RUST_VERSION=1.95
ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-bookworm AS build
# Set by the builder. A default here would win over that, and every image would be of one architecture.
ARG TARGETARCH
WORKDIR /src
# First, so that a change of the sources does not install them again.
COPY deploy/image/build deploy/image/
RUN deploy/image/build tools "$TARGETARCH" && deploy/image/build target "$TARGETARCH"
# By name, so that a change of a helper does not compile driftless again.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock LICENSE ./
COPY src src
RUN deploy/image/build root "$(deploy/image/build binary "$TARGETARCH" release)" /image

FROM --platform=$BUILDPLATFORM docker.io/library/golang:${GO_VERSION}-bookworm AS helpers
ARG TARGETARCH
WORKDIR /src
COPY deploy/image/build deploy/image/
COPY renderer renderer
COPY decrypter decrypter
RUN deploy/image/build helpers "$TARGETARCH" /helpers

FROM scratch AS slim
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="driftless" \
      org.opencontainers.image.description="A GitOps agent for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/root/ /
# What may be written, where no volume is mounted there; all else belongs to root.
COPY --from=build --chown=65532:65532 /image/data/ /var/lib/
ENV HOME=/home/driftless \
    DRIFTLESS_CONFIG=/etc/driftless/driftless.yaml
# As a number, so that Kubernetes can tell that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/driftless"]
CMD ["run"]

# The last one is what is built where no target is named.
FROM slim AS image
# Beside driftless, which starts them. Nothing may come to /etc/sops: SOPS would read it.
COPY --from=helpers /helpers/ /
