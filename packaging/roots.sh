#!/bin/sh
# Installs the packages into roots of their own and removes them again: packaging/roots.sh DEB RPM ARCHLINUX
# The deb goes beside each mail server, by apt; no other package may be touched. Needs root on Debian. All of it is in a
# tmpfs that only these processes see. No apk is installed: Debian has no tool for it.
# shellcheck disable=SC2016 # apt-get and dpkg-query fill in what has a $
set -eu

if [ "${IN_NAMESPACE:-}" != yes ]; then
	IN_NAMESPACE=yes exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$0" "$@"
fi
deb=$(realpath "$1") rpm=$(realpath "$2") arch=$(realpath "$3")

fail() {
	echo "roots.sh: $1" >&2
	exit 1
}

work=$(mktemp -d)
mount -t tmpfs -o mode=755 roots "$work"
trap 'cd / && umount -R "$work" && rmdir "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

# A command's output is shown only if it fails.
quietly() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		fail "failed: $*"
	}
}

# Lists the files of a root, but for what every use of a package manager changes.
list_files() {
	(cd "$1" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \
		-o -path ./tmp -o -path ./proc -o -path ./dev -o -path ./var/lib/pacman -o -path ./var/lib/rpm -o -path ./usr/lib/sysimage \) -prune -o -print) | sort
}

# Runs both programs in a root.
run_programs() {
	for program in check_postfix_queue postfix_queue_emit; do
		chroot "$1" /bin/sh -c "$program --version" >"$work/version" || [ $program = check_postfix_queue ] || fail "$program does not run"
		grep -q "^$program" "$work/version" || fail "$program --version: $(cat "$work/version")"
	done
}

# --- deb

# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" "Created-By: Packages" | head -n 1)
quietly debootstrap --variant=minbase "$suite" base "$mirror"
cp /etc/resolv.conf base/etc/ 2>/dev/null || true
rm -rf base/etc/apt/sources.list base/etc/apt/sources.list.d
cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d base/etc/apt/ 2>/dev/null || true
printf '#!/bin/sh\nexit 101\n' >base/usr/sbin/policy-rc.d
chmod 755 base/usr/sbin/policy-rc.d

in_root() {
	quietly env DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$@"
}

in_root base apt-get -q update

# Everything that dpkg knows, and its state.
list_packages() {
	chroot "$1" dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' | grep -v ' not-installed$'
}

for server in none exim4 postfix nullmailer msmtp-mta; do
	mkdir -p $server/upper $server/work $server/root
	mount -t overlay -o "lowerdir=base,upperdir=$server/upper,workdir=$server/work" overlay $server/root
	root=$server/root
	cp "$deb" $root/tmp/package.deb
	# With all that these recommend, as an administrator's apt does it.
	[ $server = none ] || in_root $root apt-get -q install -y $server
	list_packages $root >before
	list_files $root >files
	in_root $root apt-get -q install -y /tmp/package.deb
	list_packages $root | diff before - >changes || true
	case $(grep -c '^[<>]' changes):$(cat changes) in
	1:*"> postfix-queue-monitor "*) ;;
	*) fail "beside $server the deb changes: $(cat changes)" ;;
	esac
	run_programs $root
	[ -z "$(find $root/etc/systemd/system -name 'postfix-queue*' 2>/dev/null)" ] || fail "the deb enables a unit"
	in_root $root apt-get -q purge -y postfix-queue-monitor
	list_packages $root | diff before - || fail "beside $server, purging the deb changes other packages"
	list_files $root | diff files - || fail "beside $server, files stay or are gone when the deb is purged"
	echo "ok  deb beside $server"
	umount $root
done

# --- rpm

mkdir rpm
quietly rpm --root "$work/rpm" --initdb
list_files rpm >files
quietly rpm --root "$work/rpm" --nodeps --ignorearch -i "$rpm"
quietly rpm --root "$work/rpm" -V postfix-queue-monitor
for program in usr/lib64/nagios/plugins/check_postfix_queue usr/bin/postfix_queue_emit; do
	rpm/$program --version >version || true
	grep -q "^$(basename $program)" version || fail "$program does not run"
done
quietly rpm --root "$work/rpm" -e postfix-queue-monitor
# Directories that every system has come back as empty ones.
list_files rpm | diff files - | grep '^>' | grep -vE '^> \./usr(/(bin|lib|lib64|share)(/(doc|man|man/man[18]|licenses|systemd|systemd/system))?)?$' &&
	fail "files stay when the rpm is removed"
echo "ok  rpm"

# --- Arch Linux

mkdir -p arch/var/lib/pacman arch/var/cache/pacman/pkg
cat >pacman.conf <<'END'
[options]
Architecture = auto
SigLevel = Never
LocalFileSigLevel = Never
END
pacman_here() {
	quietly pacman --root "$work/arch" --dbpath "$work/arch/var/lib/pacman" --cachedir "$work/arch/var/cache/pacman/pkg" \
		--config "$work/pacman.conf" --logfile /dev/null --noconfirm "$@"
}
list_files arch >files
pacman_here -U "$arch"
pacman_here -Qkk postfix-queue-monitor
for program in usr/lib/monitoring-plugins/check_postfix_queue usr/bin/postfix_queue_emit; do
	arch/$program --version >version || true
	grep -q "^$(basename $program)" version || fail "$program does not run"
done
pacman_here -R postfix-queue-monitor
list_files arch | diff files - || fail "files stay when the Arch Linux package is removed"
echo "ok  archlinux"
