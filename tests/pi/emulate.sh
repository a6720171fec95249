#!/usr/bin/env bash
# What a Raspberry Pi with the 64-bit Raspberry Pi OS is to the kit: Debian Bookworm for arm64, every
# program of it run by qemu. Without the Pi's kernel, drivers and desktop.
#
#   emulate.sh make                    the system, once, into the cache; whole or not at all
#   emulate.sh run FOLDER COMMAND...   a command in it, as root and without a network
#
# FOLDER is what the device keeps: FOLDER/opt is its /opt, FOLDER/work its home and where the command
# starts. All else can only be read there, so the cached system stays as it was made. Needs root and
# the packages debootstrap, qemu-user-static and binfmt-support.
set -euo pipefail

SYSTEM=${KIT_PI_SYSTEM:-${XDG_CACHE_HOME:-$HOME/.cache}/dermkit/pi-bookworm}
BINFMT=/proc/sys/fs/binfmt_misc

# Let the kernel hand arm64 programs to qemu.
hand_over() {
    [ -e $BINFMT/register ] || mount -t binfmt_misc binfmt_misc $BINFMT
    [ -e $BINFMT/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64
}

# Where this machine takes Bookworm from; nothing if it doesn't, and debootstrap knows a place.
mirror() {
    # shellcheck disable=SC2016 # apt's own fields
    apt-get indextargets --format '$(REPO_URI)' \
        'Identifier: Packages' 'Codename: bookworm' 'Component: main' | sed -n 1p
}

make_system() {
    if [ -d "$SYSTEM" ]; then
        echo "$SYSTEM is there"
        return
    fi
    mkdir -p "$(dirname "$SYSTEM")"
    begun=$(mktemp -d "$SYSTEM.XXXXXX")
    trap 'rm -rf "$begun"' EXIT
    # In a mount namespace of its own: what debootstrap mounts is gone before rm.
    unshare --mount debootstrap --arch=arm64 --variant=minbase --include=python3-venv \
        bookworm "$begun" "$(mirror)" >/dev/null
    rm -f "$begun"/var/cache/apt/archives/*.deb
    mkdir "$begun/work"
    chmod 755 "$begun"
    mv -T "$begun" "$SYSTEM"
}

run() {
    folder=$(realpath "$1")
    shift
    mkdir -p "$folder/opt" "$folder/work"
    exec unshare --mount --net --pid --fork --kill-child "$0" _inside "$folder" "$@"
}

# In namespaces of its own, which take the mounts with them when they end.
inside() {
    folder=$1
    shift
    mount --bind "$SYSTEM" "$SYSTEM"
    mount -o remount,bind,ro "$SYSTEM"
    mount --bind "$folder/opt" "$SYSTEM/opt"
    mount --bind "$folder/work" "$SYSTEM/work"
    mount -t tmpfs tmpfs "$SYSTEM/tmp"
    mount -t proc proc "$SYSTEM/proc"
    # shellcheck disable=SC2016 # for the shell in there
    exec chroot "$SYSTEM" /usr/bin/env -i HOME=/work LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        sh -c 'cd && exec "$@"' sh "$@"
}

case ${1:-} in
    make) hand_over; make_system ;;
    run) shift; hand_over; run "$@" ;;
    _inside) shift; inside "$@" ;;
    *) sed -n '2,11s/^# \?//p' "$0"; exit 2 ;;
esac
