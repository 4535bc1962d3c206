# Runs as the first process of a host, in its own mount and uts namespaces:
# makes the machine's files the host's own where two hosts must differ.
# $1 name, $2 the host's folder.
set -eu
hostname "$1"
mount -t tmpfs -o mode=755 "${1}-run" /run
mkdir -p /run/sshd /run/lock
mount -t overlay -o "lowerdir=/etc,upperdir=$2/etc,workdir=$2/etc.work" "${1}-etc" /etc
# Nothing of the machine's own: its Engine key would make every host's Engine the same one.
for d in docker ssh; do
	rm -rf "/etc/$d"
	cp -a "$2/own/$d" "/etc/$d"
done
for d in root opt srv tmp; do mount --bind "$2/$d" "/$d"; done
: >"$2/booted"
exec sleep infinity
