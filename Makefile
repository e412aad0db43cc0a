# postfix-queue-monitor: needs Go and make; `make help` lists the targets.

# The one place that says which version this is; VERSION=... in the environment overrides it.
VERSION ?= 0.1.0

PREFIX    ?= /usr/local
BINDIR    ?= $(PREFIX)/bin
MANDIR    ?= $(PREFIX)/share/man
PLUGINDIR ?= /usr/lib/nagios/plugins
FUZZTIME  ?= 60s

SAMPLE  = testdata/listing/3.7.11/deferred.json
SCRIPTS = .ci/run $(wildcard integration/*.sh packaging/*.sh contrib/*/*.sh contrib/*/*.bash contrib/netdata/*.conf)
PAGES   = build/check_postfix_queue.8.gz build/postfix_queue_emit.1.gz
# Tools run on this machine, even if GOARCH says that the product does not.
TOOL    = GOARCH= go tool -modfile=tools.mod

# The version is stamped by -X, and Git refuses to describe a checkout of another user.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.PHONY: all build run test unit integration integration-tools purge-tools race fuzz bench screenshot lint vuln package install clean help

all: build

build: ## build both programs into build/ (default)
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build/ ./cmd/...

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

test: integration-tools ## run all tests; as root on Debian this installs what they need (INSTALL=no: it does not)
	$(run_tests) ./cmd/... ./internal/... ./integration/...

unit: ## run the unit tests and the end-to-end scripts
	go test ./...

integration: integration-tools ## run the tests against a real Postfix, a private one (root)
	$(run_tests) ./integration/...

# Without the packages the tests leave out what they cannot do, or fail if REQUIRE=all.
integration-tools:
	@if [ "$(INSTALL)" = no ]; then echo "Installing nothing: INSTALL=no"; \
	elif [ "$$(id -u)" != 0 ]; then echo "Installing nothing: not root"; \
	elif ! command -v apt-get >/dev/null; then echo "Installing nothing: no apt-get"; \
	else integration/install.sh || [ "$(REQUIRE)" != all ]; fi

purge-tools: ## remove the packages that the tests have installed, and nothing else (root)
	integration/purge.sh

race: ## run the unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

# Coverage varies with the order of maps: looking for the least input would take all the time.
fuzz: ## run every fuzz target for FUZZTIME (60s) each
	@listing=$$(go test -list '^Fuzz' ./...) || { echo "$$listing"; exit 1; }; \
	echo "$$listing" | awk '/^Fuzz/ {names[n++] = $$1} $$1 == "ok" {for (i = 0; i < n; i++) print $$2, names[i]; n = 0}' | \
	while read -r package target; do \
		echo "$$target, $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" </dev/null || exit 1; \
	done

bench: integration-tools ## run the benchmarks
	go test -tags integration -run '^$$' -bench . -benchmem -timeout 60m ./...

screenshot: ## make the picture of Netdata's charts in docs/ anew (root on Debian)
	integration/install.sh netdata-web chromium pngquant
	REQUIRE=all SCREENSHOT=$(CURDIR)/docs/netdata.png go test -tags integration,screenshot -run '^TestScreenshot$$' -count=1 ./integration/
	pngquant --force --skip-if-larger --strip --output docs/netdata.png 64 docs/netdata.png

lint: ## check the code: golangci-lint with the import rules, go vet (also for 32 bits), shellcheck
	$(TOOL) golangci-lint run ./...
	go vet -tags integration,screenshot ./...
	GOARCH=arm go vet ./cmd/... ./internal/...
	@if command -v shellcheck >/dev/null; then echo shellcheck $(SCRIPTS); shellcheck $(SCRIPTS); \
	else echo "left out: shellcheck (not installed)"; [ "$(REQUIRE)" != all ]; fi

vuln: ## look for known vulnerabilities (asks the Go vulnerability database)
	$(TOOL) govulncheck ./...

# One time stamp for all that is packaged: the same commit gives the same bytes.
package: export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),1767225600)
package: export VERSION := $(VERSION)
package: export ARCH := $(shell go env GOARCH)
package: build $(PAGES) ## build a deb and an rpm into build/
	rm -f build/*.deb build/*.rpm
	$(TOOL) nfpm package --packager deb --target build/
	$(TOOL) nfpm package --packager rpm --target build/
	packaging/test.sh "$(VERSION)" build/*.deb build/*.rpm

# -n: no name and no time in the archive.
build/%.gz: man/%
	@mkdir -p build
	gzip -9nc $< >$@

install: build ## install the programs and man pages: DESTDIR, PREFIX, BINDIR, MANDIR, PLUGINDIR
	install -D -m 755 build/check_postfix_queue $(DESTDIR)$(PLUGINDIR)/check_postfix_queue
	install -D -m 755 build/postfix_queue_emit $(DESTDIR)$(BINDIR)/postfix_queue_emit
	install -D -m 644 man/check_postfix_queue.8 $(DESTDIR)$(MANDIR)/man8/check_postfix_queue.8
	install -D -m 644 man/postfix_queue_emit.1 $(DESTDIR)$(MANDIR)/man1/postfix_queue_emit.1

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
