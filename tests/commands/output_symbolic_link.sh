#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A symbolic link as the output stays one; what it leads to is written.
echo content >in
echo old >target
ln -s target link
mkdir directory
ln -s directory/new dangling
ln -s round round
ln -s directory to_directory
try instar copy in link
try instar copy in dangling
try instar copy in round
try instar copy in to_directory
try instar copy in to_directory/inside
try cat target directory/new directory/inside
try ls -F . directory
