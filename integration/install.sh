#!/bin/sh
# Installs the Debian packages that the integration tests need, and those given as arguments.
# It never removes a package, never starts a service, and does nothing when all is there. Needs root.
set -eu

packages="postfix iproute2 util-linux monitoring-plugins-standard
	icinga2-bin icinga2-common nagios4-core nagios-nrpe-plugin nagios-nrpe-server
	netdata-core netdata-plugins-bash cron npm
	prometheus prometheus-node-exporter graphite-carbon zabbix-agent influxdb curl
	openssh-client openssh-server systemd"
policy=/usr/sbin/policy-rc.d

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A Postfix that is no Debian package would be overwritten by one.
is_foreign_postfix() {
	[ "$1" = postfix ] && command -v postconf >/dev/null
}

# Other builds of Node.js bring npm along, and Debian's does not go with them.
has_npm() {
	[ "$1" = npm ] && command -v node >/dev/null && command -v npm >/dev/null
}

missing=
for package in $packages "$@"; do
	if is_installed "$package" || has_npm "$package"; then
		continue
	fi
	if is_foreign_postfix "$package"; then
		echo "install.sh: there is a Postfix that is no Debian package; it stays as it is" >&2
		continue
	fi
	missing="$missing $package"
done
[ -n "$missing" ] || exit 0

scratch=$(mktemp -d)
policy_is_ours=
clean_up() {
	[ -z "$policy_is_ours" ] || rm -f "$policy"
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Package scripts ask policy-rc.d before they start a service; 101 is no.
if [ -e "$policy" ] || [ -L "$policy" ]; then
	answer=0
	"$policy" postfix start >/dev/null 2>&1 || answer=$?
	if [ "$answer" != 101 ]; then
		echo "install.sh: $policy lets services start, so nothing is installed; missing:$missing" >&2
		exit 1
	fi
else
	policy_is_ours=yes
	printf '%s\n' '#!/bin/sh' '# Temporary: no service starts while test packages are installed.' 'exit 101' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive

case "$missing " in
*" postfix "*)
	# Left to itself its configuration asks for the host's name, which need not resolve. A
	# main.cf from earlier stays as it is.
	mailer="Local only"
	if [ -e /etc/postfix/main.cf ]; then
		mailer="No configuration"
	fi
	debconf-set-selections <<-EOF
		postfix postfix/main_mailer_type select $mailer
		postfix postfix/mailname string example.org
	EOF
	;;
esac

install_missing() {
	# A machine that has just started may be installing updates by itself: wait for the lock.
	# shellcheck disable=SC2086 # a list of words
	apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-remove --no-install-recommends $missing >"$scratch/log" 2>&1
}

echo "Installing for the tests (services stay stopped):$missing"
# The package lists may be absent, or older than what the archive still has.
if ! install_missing; then
	echo "Refreshing the package lists"
	if ! apt-get -q update >"$scratch/log" 2>&1 || ! install_missing; then
		cat "$scratch/log" >&2
		echo "install.sh: could not install$missing" >&2
		exit 1
	fi
fi
