#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Help goes to standard output, whichever way it is asked for.
try instar --help
try instar help
try instar copy --help
try instar help copy
try instar-vmm --help
