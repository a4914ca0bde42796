#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Names that would be options, or take over a terminal.
escape=$(printf '\033')
line_feed='line
feed'
echo content >-in
echo content >"with space"
echo content >"$line_feed"
try instar copy -- -in -out
try instar copy ./-in 'out of order'
try instar copy "with space" "$line_feed.out"
try instar copy "nowhere${escape}[2J" out | cat -v
try instar copy "$line_feed" "nowhere/${escape}[31mred" | cat -v
long=$(printf '%0255d' 0)
try instar copy ./-in "$long"
try instar copy ./-in "${long}1"
try cat ./-out 'out of order' "$line_feed.out" "$long"
