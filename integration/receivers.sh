#!/bin/sh
# Makes the roots of Debian releases that the tests with the build tag receivers need, below build/receivers: bookworm with
# Zabbix 6.0 and Icinga Director, trixie with Zabbix 7.0. Nothing is installed on this machine but debootstrap. What is there
# already stays. Needs root, 2.5 GB of disk, and downloads 400 MB. make clean removes the roots.
set -eu
cd "$(dirname "$0")"

./install.sh debootstrap icinga2-bin icinga2-common zabbix-agent postfix

zabbix="zabbix-server-pgsql,zabbix-frontend-php,postgresql"
zabbix="$zabbix,php-cli,php-pgsql,php-curl,php-gd,php-xml,php-mbstring,php-bcmath"
director="icingacli,icingaweb2-module-director,mariadb-server,php-mysql,php-intl"

# The mirror that apt uses on this machine for its own release.
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mirror=$(apt-get update --print-uris | sed -n "s,^'\(.*\)/dists/$codename/InRelease'.*,\1,p" | head -n 1)
[ -n "$mirror" ] || { echo "receivers.sh: apt has no source for $codename" >&2; exit 1; }

# A root gets its name when it is complete.
make_root() {
	root=../build/receivers/$1
	[ ! -e "$root" ] || return 0
	mkdir -p ../build/receivers
	rm -rf --one-file-system "$root.part"
	echo "Making a root of Debian $1"
	if ! LC_ALL=C debootstrap --variant=minbase --include="$2" "$1" "$root.part" "$mirror" >"$root.log" 2>&1; then
		tail -n 20 "$root.log" "$root.part/debootstrap/debootstrap.log" >&2
		exit 1
	fi
	rm -f "$root.part"/var/cache/apt/archives/*.deb
	mv "$root.part" "$root"
}

make_root bookworm "$zabbix,$director"
make_root trixie "$zabbix"
