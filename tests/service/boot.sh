# Boots the Debian in folder $1 with its own systemd, in namespaces that the caller made. There are no
# cgroup controllers in there, so limits of memory and tasks are not enforced. With `remove` as $2,
# removes the control groups of one that has ended.
set -eu
root="$1"
mount --make-rprivate /
# Control groups of its own. All containers see the same hierarchies, and would share the groups of
# units with the same name.
if [ "${2:-}" != grouped ]; then
    for hierarchy in 'cgroup -o none,name=systemd' cgroup2; do
        # shellcheck disable=SC2086
        mount -t $hierarchy none "$root/mnt"
        own="$root/mnt/tidegate-$(stat -c %d-%i "$root")"
        if [ "${2:-}" = remove ]; then
            find "$own" -depth -type d -exec rmdir {} +
        else
            mkdir -p "$own"
            echo 0 >"$own/cgroup.procs"
        fi
        umount "$root/mnt"
    done
    [ "${2:-}" != remove ] || exit 0
    exec unshare --cgroup sh "$0" "$root" grouped
fi
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for folder in dev run tmp; do
    mount -t tmpfs -o mode=0755 tmpfs "$root/$folder"
done
chmod 1777 "$root/tmp"
for node in null zero full random urandom tty; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
exec chroot "$root" /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=multi-user.target --show-status=no
