# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For qemu-img, in case that name leads to instar (the function looks): that of instar, which lies beside.
# shellcheck source=completions/instar.bash
if ! declare -F _instar >/dev/null; then
    for _instar_file in "${BASH_SOURCE[0]%/*}"/instar "${BASH_SOURCE[0]%/*}"/instar.bash; do
        # shellcheck disable=SC1090 # installed without .bash
        [[ -r $_instar_file ]] && . "$_instar_file" && break
    done
    unset _instar_file
fi
complete -o bashdefault -o default -F _instar qemu-img
