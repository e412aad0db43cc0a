#!/bin/sh
# Checks what is in the packages. Usage: packaging/test.sh VERSION DEB RPM
# A package whose tools are missing is left out by name, or fails if REQUIRE=all.
set -eu

version=$1 deb=$2 rpm=$3
# In packages a pre-release comes before its release: 1.0.0~rc1.
package_version=$(echo "$version" | sed 's/-/~/')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# Fails unless the listing on standard input (lines of mode, owner and path) is exactly the expected files.
expect_files() {
	sort >"$scratch/found"
	sort >"$scratch/expected" <<-EOF
		$(find contrib docs -type f | sed 's,^,-rw-r--r-- root/root /usr/share/doc/postfix-queue-monitor/,')
		-rwxr-xr-x root/root $2/check_postfix_queue
		-rwxr-xr-x root/root /usr/bin/postfix_queue_emit
		-rw-r--r-- root/root /usr/share/man/man8/check_postfix_queue.8.gz
		-rw-r--r-- root/root /usr/share/man/man1/postfix_queue_emit.1.gz
		-rw-r--r-- root/root /usr/share/bash-completion/completions/check_postfix_queue
		-rw-r--r-- root/root /usr/share/bash-completion/completions/postfix_queue_emit
		-rw-r--r-- root/root /usr/share/doc/postfix-queue-monitor/README.md
		-rw-r--r-- root/root /usr/share/doc/postfix-queue-monitor/CHANGELOG.md
		-rw-r--r-- root/root /usr/share/doc/postfix-queue-monitor/$3
	EOF
	if ! diff "$scratch/expected" "$scratch/found"; then
		fail "$1 has the wrong files (<: expected, >: found)"
	fi
}

# Fails unless the programs below the directory run and print the version.
expect_version() {
	"$1$2/check_postfix_queue" --version >"$scratch/version" && fail "check_postfix_queue --version exits 0, not 3"
	"$1/usr/bin/postfix_queue_emit" --version >>"$scratch/version" || fail "postfix_queue_emit --version fails"
	[ "$(grep -cF "$version" "$scratch/version")" = 2 ] || fail "not version $version: $(cat "$scratch/version")"
}

leave_out() {
	echo "left out: $1"
	[ "${REQUIRE:-}" != all ] || fail "REQUIRE=all"
}

fail() {
	echo "packaging/test.sh: $1" >&2
	exit 1
}

if command -v dpkg-deb >/dev/null; then
	dpkg-deb --contents "$deb" >"$scratch/list"
	awk '/^-/ {sub(/^\./, "", $6); print $1, $2, $6}' "$scratch/list" | expect_files "$deb" /usr/lib/nagios/plugins copyright
	[ "$(dpkg-deb --field "$deb" Version)" = "$package_version" ] || fail "$deb is not version $version"
	[ -z "$(dpkg-deb --field "$deb" Depends)" ] || fail "$deb depends on other packages"
	if [ "$(go env GOARCH)" = "$(go env GOHOSTARCH)" ]; then
		dpkg-deb --extract "$deb" "$scratch/deb"
		expect_version "$scratch/deb" /usr/lib/nagios/plugins
	fi
	echo "ok  $deb"
else
	leave_out "contents of $deb (no dpkg-deb)"
fi

if command -v rpm >/dev/null; then
	rpm --query --package --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]' "$rpm" |
		grep '^-' >"$scratch/list" # not the directories
	expect_files "$rpm" /usr/lib64/nagios/plugins LICENSE <"$scratch/list"
	[ "$(rpm --query --package --queryformat '%{VERSION}' "$rpm")" = "$package_version" ] || fail "$rpm is not version $version"
	echo "ok  $rpm"
else
	leave_out "contents of $rpm (no rpm)"
fi
