# make run     builds and starts the demo: a provider and an app on this machine
# make test    everything that must hold; fetches PostgreSQL, Chromium, Apache
#              and oathtool from Debian where they are missing
# make fuzz    each fuzz target for FUZZTIME (default 2m)
# make bench   the benchmarks that the README's figures come from
# make load    the real server, driven over HTTP, with a table and a chart
# make build   bin/idp, static
# make lint    formatting, vet, staticcheck

GO ?= go
FUZZTIME ?= 2m
BENCH ?= .

.PHONY: run build test lint unit fuzz fuzz-briefly bench load growth overload faults deps

run: build
	@bin/idp demo

build:
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/idp ./cmd/idp

test: deps lint unit fuzz-briefly

deps:
	@.ci/deps

lint:
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# PostgreSQL runs for as long as the tests do. The races for what is good once
# are run once more, 200 rounds of each, because the race detector makes them slow.
# So are the faults, which are about whole processes; on the disk, as they will be.
unit:
	$(GO) run ./test/pg/withpg -unsafe -- $(GO) test -race -vet=off -timeout 30m $$($(GO) list ./... | grep -v /test/faults)
	$(GO) run ./test/pg/withpg -unsafe -- $(GO) test -vet=off -timeout 15m -run 'TestOfEach|TestInAGraceAll|TestOneOfFiftyFlows|TestOneOfFiftyUses' ./test/
	$(GO) run ./test/pg/withpg -- $(GO) test -race -vet=off -timeout 15m -parallel 4 ./test/faults

fuzz:
	@.ci/fuzz $(FUZZTIME)

fuzz-briefly:
	@.ci/fuzz 3s blind

bench:
	$(GO) run ./test/pg/withpg -- $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

faults:
	$(GO) run ./test/pg/withpg -- $(GO) test ./test/faults -timeout 2h -long -v

growth:
	$(GO) run ./test/pg/withpg -- $(GO) run ./test/load -growth 1000:5000,100000:500000,1000000:5000000 -seconds 1

overload:
	$(GO) run ./test/pg/withpg -- $(GO) run ./test/load -overload -users 10000 -seconds 30

load:
	$(GO) run ./test/pg/withpg -- $(GO) run ./test/load -chart docs/images/load.svg
