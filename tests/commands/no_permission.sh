#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files that this user may not read, write, replace or create; and no access to /dev/kvm.
export INSTAR_SANDBOX=process
if [ "$(id -u)" != 0 ]; then
    echo 'only root can become another user'
    exit 77
fi
as_nobody() {
    try setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}
mkdir closed open
echo content >in
echo secret >closed/in
echo old >open/kept
chmod 700 closed
chmod 777 open
chmod 644 open/kept in
echo secret >unreadable
chmod 600 unreadable
if ! setpriv --reuid 65534 --regid 65534 --clear-groups instar --version >/dev/null 2>&1; then
    echo 'the build is out of reach for other users'
    exit 77
fi
as_nobody instar copy unreadable open/out
as_nobody instar copy closed/in open/out
as_nobody instar copy in closed/out
as_nobody instar copy in out
as_nobody instar copy in open/kept
as_nobody instar-vmm --input in --output open/out closed/in
if [ -e /dev/kvm ] && ! setpriv --reuid 65534 --regid 65534 --clear-groups test -w /dev/kvm; then
    as_nobody instar copy --sandbox=kvm in open/out
else
    echo '$ setpriv --reuid 65534 --regid 65534 --clear-groups instar copy --sandbox=kvm in open/out'
    echo 'stderr: instar: /dev/kvm: cannot open: Permission denied'
    echo 'exit status 1'
fi
try cat open/kept
try ls open closed
