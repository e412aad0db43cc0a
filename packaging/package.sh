#!/bin/sh
# Makes packages of what is in build/: packaging/package.sh ARCH PACKAGER... with nfpm's names of both.
# Needs VERSION, SOURCE_DATE_EPOCH, the directory BUILD, and NFPM, the command, in the environment.
set -eu
cd "$(dirname "$0")/.."
umask 022

ARCH=$1
shift
export ARCH
name=postfix-queue-monitor

# Each system has its own directory for plugins and for completions of zsh.
for packager; do
	ZSHDIR=/usr/share/zsh/site-functions
	case $packager:$ARCH in
	deb:*) PLUGINDIR=/usr/lib/nagios/plugins ZSHDIR=/usr/share/zsh/vendor-completions ;;
	rpm:arm7) PLUGINDIR=/usr/lib/nagios/plugins ;;
	rpm:*) PLUGINDIR=/usr/lib64/nagios/plugins ;;
	*) PLUGINDIR=/usr/lib/monitoring-plugins ;;
	esac
	tree=$BUILD/tree-$packager
	rm -rf "$tree"
	DESTDIR=$tree BINDIR=/usr/bin MANDIR=/usr/share/man DOCDIR=/usr/share/doc/$name \
		LICENSEDIR=/usr/share/licenses/$name BASHDIR=/usr/share/bash-completion/completions \
		FISHDIR=/usr/share/fish/vendor_completions.d UNITDIR=/usr/lib/systemd/system \
		PLUGINDIR=$PLUGINDIR ZSHDIR=$ZSHDIR packaging/install.sh install

	if [ "$packager" = deb ]; then
		# Debian wants all licences in one file, and has its own format for changes. See its policy, 12.5 and 12.7.
		(cd "$tree/usr/share/licenses/$name" && cat LICENSE && echo && cat THIRD-PARTY-NOTICES) >"$tree/usr/share/doc/$name/copyright"
		rm -r "$tree/usr/share/licenses"
		gzip -9nc CHANGELOG.md >"$tree/usr/share/doc/$name/changelog.gz"
		rm "$tree/usr/share/doc/$name/CHANGELOG.md"
		gzip -9nc "$BUILD/changelog" >"$tree/usr/share/doc/$name/changelog.Debian.gz"
		install -D -m 644 packaging/lintian-overrides "$tree/usr/share/lintian/overrides/$name"
	fi

	packaging/nfpm.sh "$packager" "$tree" >"$BUILD/nfpm-$packager.yaml"
	$NFPM package --config "$BUILD/nfpm-$packager.yaml" --packager "$packager" --target "$OUT"
done
