# The operator's image: one static binary on nothing. `docker build .`; the simulator's, for CI of others:
# `docker build --target simulator .`. Each platform is built by its own toolchain, so use a builder of that platform.
#
# The same commit gives the same bits with `--build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)` and
# `--output type=image,rewrite-timestamp=true`.
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS toolchain
RUN cargo install --quiet --locked --version 0.7.7 cargo-auditable
WORKDIR /src
COPY . .

FROM toolchain AS build-simulator
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=cache,target=/usr/local/cargo/registry scripts/image-root meshagent-simulator /image

FROM toolchain AS build-operator
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=cache,target=/usr/local/cargo/registry scripts/image-root meshagent-operator /image

FROM scratch AS simulator
COPY --from=build-simulator /image /
# The admin side stays on the loopback interface: it hands out keys.
ENV MESHAGENT_SIMULATOR_LISTEN=0.0.0.0:8080 MESHAGENT_SIMULATOR_ADMIN_LISTEN=127.0.0.1:8081
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/meshagent-simulator"]

# The last, which `docker build` makes unless told otherwise.
FROM scratch AS operator
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="meshagent-operator" \
      org.opencontainers.image.description="Keeps MeshAgent OAuth clients as declared in Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/meshagent/meshagent-operator" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build-operator /image /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/meshagent-operator"]
CMD ["run"]
