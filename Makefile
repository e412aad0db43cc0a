# postfix-queue-monitor: needs Go and make; `make help` lists the targets.

# The one place that says which version this is; VERSION=... in the environment overrides it.
VERSION ?= 0.1.0

# Where make install puts things, below DESTDIR; uninstall wants the same values. Plugins go where this system's are.
DESTDIR    ?=
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
DOCDIR     ?= $(DATADIR)/doc/postfix-queue-monitor
LICENSEDIR ?= $(DOCDIR)
BASHDIR    ?= $(DATADIR)/bash-completion/completions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
UNITDIR    ?= $(PREFIX)/lib/systemd/system
PLUGINDIR  ?= $(firstword $(wildcard $(addprefix /usr/,lib/nagios/plugins lib64/nagios/plugins lib/monitoring-plugins)) \
	/usr/lib/nagios/plugins)
# Where make build puts things, and make package.
BUILD ?= build
OUT   ?= build
# The architectures and kinds of packages, in nfpm's names.
ARCHES    ?= amd64 arm64 arm7 riscv64
PACKAGERS ?= deb rpm apk archlinux
FUZZTIME  ?= 60s
# Below the definitions: what is exported counts as defined, so that ?= would leave it empty.
export BUILD OUT ARCHES DESTDIR BINDIR MANDIR DOCDIR LICENSEDIR BASHDIR FISHDIR ZSHDIR UNITDIR PLUGINDIR

SAMPLE   = testdata/listing/3.7.11/deferred.json
SCRIPTS  = .ci/run $(wildcard integration/*.sh packaging/*.sh contrib/*/*.sh contrib/*/*.plugin contrib/checkmk/* contrib/*/*.bash contrib/netdata/*.conf)
PROGRAMS = $(BUILD)/check_postfix_queue $(BUILD)/postfix_queue_emit
PAGES    = $(BUILD)/check_postfix_queue.8.gz $(BUILD)/postfix_queue_emit.1.gz
# Tools run on this machine, even if GOARCH says that the product does not.
TOOL     = env GOARCH= go tool -modfile=tools.mod

# The version is stamped by -X, and Git refuses to describe a checkout of another user.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.PHONY: all docs receivers build run test unit integration integration-tools purge-tools race fuzz soak bench screenshot lint vuln package release test-packages sbom need-go install uninstall clean help

all: build

build: need-go $(PAGES) ## build both programs into build/ (default); BUILD names another directory
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BUILD)/ ./cmd/...
	GOARCH= go run ./packaging/notices $(PROGRAMS) >$(BUILD)/THIRD-PARTY-NOTICES

# Go before 1.21 cannot even read go.mod; a later one gets what go.mod wants.
need-go:
	@command -v go >/dev/null || { echo "This needs Go 1.26 or later, and there is no go in PATH$${SUDO_USER:+ of sudo (if $$SUDO_USER has one, run make before sudo make install)}: see https://go.dev/doc/install" >&2; exit 1; }
	@go version | grep -q 'go1\.2[1-9]\|go1\.[3-9]\|devel' || { echo "This needs Go 1.26 or later, not $$(go env GOVERSION): see https://go.dev/doc/install" >&2; exit 1; }

# Every state that the check reports is a finding to show; an exit code above 3 is an error.
run: build ## run both programs: on this machine's queue if Postfix answers, else on a captured listing
	@if finding=$$(build/check_postfix_queue); then \
		echo "The queue of this machine's Postfix:"; input=; \
	else \
		echo "No answer from a Postfix on this machine:"; echo "  $$finding" | head -n 1; \
		echo "A captured listing instead, $(SAMPLE):"; input='--input $(SAMPLE) --max-age 0'; \
	fi; \
	set -- build/check_postfix_queue $$input -w 100 -c 500 -v; \
	echo; echo "$$ $$*"; "$$@"; state=$$?; echo "(exit code $$state)"; [ $$state -le 3 ] || exit 1; \
	set -- build/postfix_queue_emit $$input -f statsd; \
	echo; echo "$$ $$*"; "$$@"

# A failure is shown when it happens and named again in the last lines. One package at a time (-p 1):
# the integration tests, which are last, have the machine to themselves.
define run_tests
@mkdir -p build
GOARCH= go build -modfile=tools.mod -o build/gotestsum gotest.tools/gotestsum
GOARCH= go build -o build/summary ./integration/summary
@build/gotestsum --format pkgname-and-test-fails --hide-summary skipped,failed,output --jsonfile build/test.json \
	--post-run-command 'build/summary build/test.json build/test.log' \
	-- -tags integration -count=1 -p 1 -timeout 30m
endef

test: need-go integration-tools ## run all tests; as root on Debian this installs what they need (INSTALL=no: it does not)
	$(run_tests) ./cmd/... ./internal/... ./integration/...

unit: need-go ## run the unit tests and the end-to-end scripts
	go test ./...

integration: need-go integration-tools ## run the tests against a real Postfix, a private one (root)
	$(run_tests) ./integration/...

# Each receiver has a module of its own, so that none of this is a dependency of the programs. -mod=readonly: the sums in
# the repository are the only ones that count.
receivers: need-go integration-tools ## run the tests with receivers that take long to build or install: 15 minutes, 5 GB (root on Debian)
	integration/receivers.sh
	cd integration/receivers/telegraf && go build -mod=readonly -o $(CURDIR)/build/receivers/telegraf .
	cd integration/receivers/otelcol && go build -mod=readonly -o $(CURDIR)/build/receivers/otelcol .
	cd integration/receivers/victoriametrics && go build -mod=readonly -o $(CURDIR)/build/receivers/victoria-metrics \
		github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics
	REQUIRE=all RECEIVERS=$(CURDIR)/build/receivers go test -tags integration,receivers -count=1 -timeout 30m \
		-run 'TestTelegraf|TestOpenTelemetry|TestVictoriaMetrics|TestZabbixTemplate|TestDirector' ./integration

# Without the packages the tests leave out what they cannot do, or fail if REQUIRE=all.
integration-tools:
	@if [ "$(INSTALL)" = no ]; then echo "Installing nothing: INSTALL=no"; \
	elif [ "$$(id -u)" != 0 ]; then echo "Installing nothing: not root"; \
	elif ! command -v apt-get >/dev/null; then echo "Installing nothing: no apt-get"; \
	else integration/install.sh || [ "$(REQUIRE)" != all ]; fi

purge-tools: ## remove the packages that the tests have installed, and nothing else (root)
	integration/purge.sh

race: need-go ## run the unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

# Coverage varies with the order of maps: looking for the least input would take all the time.
fuzz: need-go ## run every fuzz target for FUZZTIME (60s) each
	@listing=$$(go test -list '^Fuzz' ./...) || { echo "$$listing"; exit 1; }; \
	echo "$$listing" | awk '/^Fuzz/ {names[n++] = $$1} $$1 == "ok" {for (i = 0; i < n; i++) print $$2, names[i]; n = 0}' | \
	while read -r package target; do \
		echo "$$target, $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" </dev/null || exit 1; \
	done

soak: need-go integration-tools ## run both programs for an hour (SOAK names another length) while mail flows at full speed (root)
	REQUIRE=all go test -tags integration,soak -run '^TestSoak$$' -count=1 -v -timeout 0 ./integration/

bench: need-go integration-tools ## run the benchmarks
	go test -tags integration -run '^$$' -bench . -benchmem -timeout 60m ./...

screenshot: need-go ## make the pictures in docs/ anew: an alert in Nagios, Netdata's charts, Prometheus' graphs (root on Debian)
	integration/install.sh netdata-web nagios4-cgi chromium pngquant
	REQUIRE=all SCREENSHOTS=$(CURDIR)/docs go test -tags integration,screenshot -run '^TestScreenshot$$' -count=1 ./integration/
	pngquant --force --skip-if-larger --strip --ext .png 64 docs/alert.png docs/netdata.png docs/prometheus.png

lint: need-go ## check the code: golangci-lint with the import rules, go vet (also for 32 bits), shellcheck, mandoc
	$(TOOL) golangci-lint run ./...
	go vet -tags integration,screenshot,packages,receivers,soak ./...
	GOARCH=arm go vet ./cmd/... ./internal/...
	$(call if_installed,shellcheck,$(SCRIPTS))
	$(call if_installed,mandoc,-T lint -W warning man/*)
	@! command -v mandoc >/dev/null || packaging/options.sh | diff docs/options.md - || { echo "docs/options.md: run make docs" >&2; exit 1; }

# Runs a program with arguments, or says that it is left out, which fails if nothing may be.
if_installed = @if command -v $(1) >/dev/null; then echo $(1) $(2); $(1) $(2); \
	else echo "left out: $(1) (not installed)"; [ "$(REQUIRE)" != all ]; fi

docs: ## write docs/options.md from the man pages (needs mandoc)
	packaging/options.sh >docs/options.md

vuln: need-go ## look for known vulnerabilities in the programs (asks the Go vulnerability database)
	$(TOOL) govulncheck ./cmd/...

# One time stamp for all that is packaged: the same commit gives the same bytes.
package release: export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),1767225600)
package release: export VERSION := $(VERSION)
package: export NFPM = $(TOOL) nfpm
package: ARCH = $(patsubst arm,arm7,$(shell go env GOARCH))
package: build ## build a deb, rpm, apk and Arch Linux package for this machine (or GOARCH) into build/
	[ $(OUT) != build ] || rm -f build/postfix-queue-monitor[-_]* # of another version
	GOARCH= go run ./packaging/changelog "$(VERSION)" <CHANGELOG.md >$(BUILD)/changelog
	packaging/package.sh $(ARCH) $(PACKAGERS)

release: ## build all packages for all architectures, SHA256SUMS and an SBOM into build/release, and test them
	rm -rf build/release
	mkdir -p build/release
	for arch in $(ARCHES); do \
		GOARCH=$${arch%7} GOARM=7 $(MAKE) package BUILD=build/$$arch OUT=build/release || exit 1; \
	done
	$(MAKE) sbom
	cd build/release && sha256sum -- * >SHA256SUMS
	go test -tags packages -count=1 ./packaging

test-packages: ## install the packages of make release into roots of their own, and remove them (root on Debian)
	packaging/roots.sh build/release/*_amd64.deb build/release/*.x86_64.rpm build/release/*-x86_64.pkg.tar.zst

sbom: ## write what is linked into the programs, as CycloneDX, into build/release
	@mkdir -p build/release
	for program in check_postfix_queue postfix_queue_emit; do \
		CGO_ENABLED=0 $(TOOL) cyclonedx-gomod app -json -std -licenses -noserial -notimestamp -main cmd/$$program \
			-output build/release/$$program.cdx.json . || exit 1; \
	done

# -n: no name and no time in the archive.
$(BUILD)/%.gz: man/%
	@mkdir -p $(BUILD)
	gzip -9nc $< >$@

# What make has built is installed as it is: root often has no Go in its PATH.
install: $(PROGRAMS) $(PAGES) $(BUILD)/THIRD-PARTY-NOTICES ## install programs, man pages, completions, units and documents: DESTDIR, PREFIX, PLUGINDIR ...
	packaging/install.sh install

uninstall: ## remove what make install has installed, with the same DESTDIR, PREFIX ...
	packaging/install.sh uninstall

$(PROGRAMS) $(BUILD)/THIRD-PARTY-NOTICES:
	$(MAKE) build

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
