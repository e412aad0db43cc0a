#!/bin/sh
# Removes exactly the packages that install.sh brought, dependencies included. Needs root.
set -eu

record=/var/lib/postfix-queue-monitor-tests/packages

if [ ! -e "$record" ]; then
	echo "purge.sh: nothing to remove, $record does not exist"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "purge.sh: not root" >&2
	exit 1
fi

# The packages of the record that are still there, one a line.
list_remaining() {
	dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' |
		awk -v action="$1" '
			NR == FNR {if ($2 == action) ours[$1]; next}
			$1 in ours && $2 != "not-installed" && (action == "purge" || $2 != "config-files") {print $1}' "$record" -
}

list_all() {
	for action in remove purge; do
		list_remaining $action
	done
}

export DEBIAN_FRONTEND=noninteractive
echo "Removing $(list_all | wc -l) packages, those of $record"
# dpkg removes what it is told to and nothing else, and refuses what other packages depend on.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=
for action in remove purge; do
	list_remaining "$action" | xargs --no-run-if-empty dpkg "--$action" >>"$log" 2>&1 || failed=yes
done
left=$(list_all)
if [ -n "$failed$left" ]; then
	cat "$log" >&2
	echo "purge.sh: dpkg failed, see above; other packages may need these: $(echo "$left" | tr '\n' ' ')" >&2
	exit 1
fi
rm -rf "$(dirname "$record")"
