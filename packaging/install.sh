#!/bin/sh
# Installs what make has built, or removes it again; packages are made from the tree that it installs.
# Usage: packaging/install.sh install|uninstall, with the directories of the Makefile, and BUILD, in the environment.
set -eu
cd "$(dirname "$0")/.."

action=$1
case $action in
install | uninstall) ;;
*)
	echo "install.sh: invalid action \"$action\": want install or uninstall" >&2
	exit 2
	;;
esac

# put MODE SOURCE DESTINATION installs one file, with the directories of this installation in it.
put() {
	rm -f "$DESTDIR$3"
	[ "$action" = install ] || return 0
	mkdir -p "$(dirname "$DESTDIR$3")"
	case $2 in
	contrib/*)
		sed -e "s|/usr/bin/postfix_queue_emit|$BINDIR/postfix_queue_emit|g" \
			-e "s|/usr/lib/nagios/plugins|$PLUGINDIR|g" "$2" >"$DESTDIR$3"
		;;
	*) cat "$2" >"$DESTDIR$3" ;;
	esac
	chmod "$1" "$DESTDIR$3"
}

# link TARGET LINK
link() {
	rm -f "$DESTDIR$2"
	[ "$action" = install ] || return 0
	mkdir -p "$(dirname "$DESTDIR$2")"
	ln -s "$1" "$DESTDIR$2"
}

umask 022
put 755 "$BUILD/check_postfix_queue" "$PLUGINDIR/check_postfix_queue"
put 755 "$BUILD/postfix_queue_emit" "$BINDIR/postfix_queue_emit"
# A person who types the name of the check has no plugin directory in PATH.
case $BINDIR:$PLUGINDIR in
/usr/bin:/usr/*) link "../${PLUGINDIR#/usr/}/check_postfix_queue" "$BINDIR/check_postfix_queue" ;; # as packages want it
*) link "$PLUGINDIR/check_postfix_queue" "$BINDIR/check_postfix_queue" ;;
esac

put 644 "$BUILD/check_postfix_queue.8.gz" "$MANDIR/man8/check_postfix_queue.8.gz"
put 644 "$BUILD/postfix_queue_emit.1.gz" "$MANDIR/man1/postfix_queue_emit.1.gz"

for unit in contrib/systemd/*; do
	put 644 "$unit" "$UNITDIR/$(basename "$unit")"
done

# Shells look for a file with the name of the program.
for program in check_postfix_queue postfix_queue_emit; do
	put 644 contrib/completion/postfix-queue-monitor.bash "$BASHDIR/$program"
	put 644 contrib/completion/postfix-queue-monitor.fish "$FISHDIR/$program.fish"
done
put 644 contrib/completion/postfix-queue-monitor.zsh "$ZSHDIR/_postfix_queue_monitor"

put 644 LICENSE "$LICENSEDIR/LICENSE"
put 644 "$BUILD/THIRD-PARTY-NOTICES" "$LICENSEDIR/THIRD-PARTY-NOTICES"
for file in README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md; do
	put 644 $file "$DOCDIR/$file"
done
find docs contrib -type f ! -name '*.go' | sort | while read -r file; do
	put 644 "$file" "$DOCDIR/$file"
done

# Directories that nothing else uses.
if [ "$action" = uninstall ]; then
	for dir in "$DOCDIR" "$LICENSEDIR"; do
		[ ! -d "$DESTDIR$dir" ] || find "$DESTDIR$dir" -depth -type d -empty -delete
	done
fi
