# Each task is one line that also works without just. `just check` is what CI runs.

lint_version := "v2.15.0"
sbom_version := "v1.10.0"

# list the tasks
default:
    @just --list

# everything in one process: broker, PostgreSQL, sample traffic, API, docs
dev *args:
    go run . dev {{args}}

# build the program
build:
    go build -trimpath -o bin/audittrail .

# the program, and the modules it was built from as a software bill of materials (CycloneDX)
sbom: build
    go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@{{sbom_version}} bin -json -output bin/audittrail.cdx.json bin/audittrail

# all tests that need nothing but Go; what takes long is short or left out
test *args:
    go test ./... {{args}}

# all tests that need nothing but Go, in full: long outages, whole benchmarks, many rounds of property tests
test-long *args:
    TEST_LONG=1 go test -timeout 30m ./... {{args}}

# all tests, those that want a real Apache Kafka too (needs Java and Maven)
test-kafka *args:
    TEST_KAFKA_LIBS=$(.ci/kafka/libs) go test ./... {{args}}

# what promtool says of the alert rules (Debian package prometheus)
alerts:
    cd deploy/observability && promtool check rules alerts.yaml && promtool test rules alerts_test.yaml

# the image audittrail:local, by docker (ENGINE=podman for another engine)
image:
    .ci/image build

# the image's size, user, ports, labels and layers, that a second build has the same layers, and that it runs
image-check:
    .ci/image check

# the image for both processors, into a registry: just image-push ghcr.io/example/audittrail:v1
image-push name:
    docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=$(git describe --tags --always) --build-arg REVISION=$(git rev-parse HEAD) -t {{name}} --push .

# all of it in containers: Kafka, PostgreSQL, our roles, Prometheus, Alertmanager, Grafana, traces
compose *args:
    docker compose up --build {{args}}

# static checks
lint *args:
    go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@{{lint_version}} run {{args}}

# format the code
fmt:
    gofmt -w $(git ls-files '*.go')

# write generated code anew
generate:
    go generate ./modules/httpapi

# Helm chart and plain manifests: rendering, lint, schemas of Kubernetes (../shared/tools)
chart *args:
    TEST_HELM=$(.ci/tool helm) CI=true go test ./charts {{args}} && .ci/chart

# Terraform: format, validate, test by mocks and by the stand-in for AWS (../shared/tools)
terraform:
    .ci/terraform

# the chart's renderings and the manifests, shown to a real kube-apiserver; minutes to build it at first
kubernetes *args:
    .ci/kubernetes {{args}}

# GitHub's workflows: actionlint, permissions, pins
workflows:
    .ci/workflows

# every fuzz target for a while
fuzz time="10s":
    .ci/fuzz {{time}}

# Go benchmarks beside those of another commit
bench-against base="main" *packages:
    .ci/bench {{base}} {{packages}}

# binaries, bills of materials and checksums of a version, in dist/
release version:
    .ci/release {{version}}

# how fast ingest is beside psql's \copy; minutes (bench/README.md)
bench-ingest *args:
    go run ./bench/ingest {{args}}

# what the ledger costs ingest, proofs and verification a second; minutes (bench/README.md)
bench-ledger *args:
    go run ./bench/ledger {{args}}

# what sealed fields cost ingest and reading, and how long keys take to be wrapped anew; many minutes (bench/README.md)
bench-protect *args:
    go run ./bench/protect {{args}}

# the API's requests beside pgbench and COPY, on a small and a large store; many minutes (bench/README.md)
bench-query *args:
    go run ./bench/query {{args}}

# how ingest, requests and upkeep grow with the store, up to ten million events; many minutes (bench/README.md)
bench-size *args:
    go run ./bench/size {{args}}

# everything that CI checks
check:
    bash .ci/run
