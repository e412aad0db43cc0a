#!/bin/sh
# Installs the Debian packages that the integration tests need, and those given as arguments.
# It never removes a package and never starts a service; what it brings does not start at the next
# boot either, and purge.sh removes it again. It does nothing if all is there. Needs root.
set -eu

packages="postfix iproute2 util-linux monitoring-plugins-standard
	icinga2-bin icinga2-common nagios4-core nagios-nrpe-plugin nagios-nrpe-server
	netdata-core netdata-plugins-bash cron npm
	prometheus prometheus-node-exporter graphite-carbon zabbix-agent influxdb curl
	openssh-client openssh-server strace systemd fish zsh
	libmonitoring-plugin-perl buildah umoci crun busybox-static"
policy=/usr/sbin/policy-rc.d
# One line for each package that came with this script: its name, and purge or remove.
record=/var/lib/postfix-queue-monitor-tests/packages

give_up() {
	echo "install.sh: $1" >&2
	exit 1
}

# Fails if the integration tests could not run here with any packages, and says why.
check_machine() {
	if [ "$(id -u)" != 0 ]; then
		echo "not root"
		return 1
	fi
	for program in apt-get dpkg-query unshare; do
		if ! command -v $program >/dev/null; then
			echo "not Debian (no $program)"
			return 1
		fi
	done
	if error=$(LC_ALL=C unshare --mount --pid --fork --mount-proc --net true 2>&1); then
		return 0
	fi
	# Here a new mount namespace may be possible, but not one that keeps its mounts to itself.
	if ! unshare --mount true 2>/dev/null && unshare --mount --propagation unchanged true 2>/dev/null; then
		echo "/ is not a mount point (a plain chroot?); mount it onto itself first: mount --bind DIR DIR"
	else
		echo "no private namespaces (a container without --privileged?): $error"
	fi
	return 1
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A Debian package would overwrite a Postfix from elsewhere.
is_foreign_postfix() {
	[ "$1" = postfix ] && command -v postconf >/dev/null
}

# Other builds of Node.js bring npm along, and Debian's npm conflicts with them.
has_npm() {
	[ "$1" = npm ] && command -v node >/dev/null && command -v npm >/dev/null
}

reason=$(check_machine) || give_up "the integration tests cannot run here, so nothing is installed: $reason"

missing=
for package in $packages "$@"; do
	if is_installed "$package" || has_npm "$package"; then
		continue
	fi
	if is_foreign_postfix "$package"; then
		echo "install.sh: this Postfix did not come as a Debian package; it stays as it is" >&2
		continue
	fi
	missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# The packages that dpkg knows, and their states.
list_packages() {
	dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n'
}

# The links that start something at boot or login. A link to /dev/null prevents that.
list_enabled() {
	find /etc/systemd/system /etc/systemd/user -type l ! -lname /dev/null 2>/dev/null || true
	find /etc/rc[0-6S].d -name 'S*' 2>/dev/null || true
}

scratch=$(mktemp -d)
list_packages >"$scratch/packages"
list_enabled | sort >"$scratch/enabled"

# Adds the new packages to the record. One that had left its configuration files behind keeps them.
record_new() {
	mkdir -p "$(dirname "$record")"
	touch "$record"
	list_packages | awk '
		NR == FNR {before[$1] = $2; next}
		$2 ~ /^(config-files|not-installed)$/ {next}
		before[$1] == "config-files" {print $1, "remove"}
		before[$1] ~ /^(not-installed)?$/ {print $1, "purge"}' "$scratch/packages" - |
		sort -u -o "$record" - "$record"
}

# Disables what has been enabled since the start.
disable_new() {
	list_enabled | sort | comm -13 "$scratch/enabled" - >"$scratch/new"
	while read -r link; do
		case $link in
		/etc/rc*) update-rc.d "$(basename "$link" | sed 's/^S[0-9]*//')" disable ;;
		*) rm -f "$link" ;; # as systemctl disable does; Debian's scripts do not make it again
		esac
	done <"$scratch/new"
	if [ -d /run/systemd/system ] && [ -s "$scratch/new" ]; then
		systemctl daemon-reload
	fi
}

policy_is_ours=
clean_up() {
	[ -z "$policy_is_ours" ] || rm -f "$policy"
	record_new
	disable_new
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Package scripts ask policy-rc.d before they start a service; 101 means no.
if [ -e "$policy" ] || [ -L "$policy" ]; then
	answer=0
	"$policy" postfix start >/dev/null 2>&1 || answer=$?
	[ "$answer" = 101 ] || give_up "$policy lets services start, so nothing is installed; missing:$missing"
else
	policy_is_ours=yes
	printf '%s\n' '#!/bin/sh' '# Temporary: no service starts while test packages are installed.' 'exit 101' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive LC_ALL=C

case "$missing " in
*" postfix "*)
	# By default its configuration asks for the host's name, which need not resolve. A main.cf from
	# earlier stays as it is.
	mailer="Local only"
	if [ -e /etc/postfix/main.cf ]; then
		mailer="No configuration"
	fi
	debconf-set-selections <<-END
		postfix postfix/main_mailer_type select $mailer
		postfix postfix/mailname string example.org
	END
	;;
esac

# A machine that has just started may be installing updates: wait for the lock.
apt_get() {
	apt-get -q -o DPkg::Lock::Timeout=300 "$@" >"$scratch/log" 2>&1
}

# Says how much will be installed, and installs it.
install_missing() {
	# shellcheck disable=SC2086 # a list of words
	set -- install -y --no-remove --no-install-recommends $missing
	apt_get "$@" --print-uris || return
	grep -E ' newly installed, |^Need to get |^After this operation' "$scratch/log" | sed 's/^/  /'
	apt_get "$@"
}

echo "Installing for the tests (no service starts, now or at boot; make purge-tools removes all of it):$missing"
# The package lists may be absent, or older than what the archive still has.
if ! install_missing; then
	echo "Refreshing the package lists"
	if ! apt_get update || ! install_missing; then
		cat "$scratch/log" >&2
		give_up "could not install$missing"
	fi
fi
