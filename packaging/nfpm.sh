#!/bin/sh
# Prints nfpm.yaml for one kind of package, with the files of an installed tree: packaging/nfpm.sh PACKAGER TREE
# nfpm takes a whole tree, too, but does not know then what is documentation, and whose the directories are.
set -eu

packager=$1 tree=$2

# An apk's description has one line. nfpm leaves the end of a pre-release out of the version of an Arch Linux package without
# an epoch, and pacman would then take 1.0.0-rc1 for 1.0.0: so here is the whole version, as pacman orders it.
case $packager in
archlinux) sed "s/^version: .*/version: $(printf %s "$VERSION" | tr -d -)\nversion_schema: none/" nfpm.yaml ;;
apk) awk '/^description:/ {print "description: monitor the Postfix mail queue"; skip = 1; next} /^[^ ]/ {skip = 0} !skip' nfpm.yaml ;;
*) cat nfpm.yaml ;;
esac

# rpm marks documentation and licences; the others do not take these types.
type_of() {
	case $packager:$1 in
	rpm:/usr/share/licenses/*) echo license ;;
	rpm:/usr/share/doc/* | rpm:/usr/share/man/*) echo doc ;;
	*) echo file ;;
	esac
}

echo "contents:"
find "$tree" -mindepth 1 | LC_ALL=C sort | while read -r path; do
	dst=${path#"$tree"}
	if [ -L "$path" ]; then
		echo "  - {src: '$(readlink "$path")', dst: '$dst', type: symlink}"
	elif [ -f "$path" ]; then
		echo "  - {src: '$path', dst: '$dst', type: $(type_of "$dst"), file_info: {mode: 0$(stat -c %a "$path")}}"
	elif [ "$packager" = rpm ]; then
		# A directory that no package owns stays when this one is removed. These are in every system.
		case $dst in
		/usr | /usr/bin | /usr/lib | /usr/lib64 | /usr/share | /usr/share/doc | /usr/share/licenses | /usr/share/man | /usr/share/man/man[18]) ;;
		/usr/lib/systemd | /usr/lib/systemd/system) ;;
		*) echo "  - {dst: '$dst', type: dir, file_info: {mode: 0755}}" ;;
		esac
	fi
done
