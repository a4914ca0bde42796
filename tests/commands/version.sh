#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The version, without its number, which changes.
for command in 'instar --version' 'instar copy --version' 'instar-vmm --version'; do
    # shellcheck disable=SC2086 # a command and its option
    try $command | sed 's/ [0-9][0-9.]*$/ NUMBER/'
done
