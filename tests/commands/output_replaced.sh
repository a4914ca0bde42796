#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A file under the output's name is replaced as a whole, and keeps its permissions.
echo 'new content' >in
echo 'old content, which is longer' >out
chmod 640 out
try instar copy in out
try cat out
try stat -c '%a %n' out
chmod 600 out
try instar copy in out
try stat -c '%a %n' out
umask 027
try instar copy in created
try stat -c '%a %n' created
# No other name keeps the old one.
ln out other_name
echo 'newer content' >in
try instar copy in out
try cat other_name
try ls -A
