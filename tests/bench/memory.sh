#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# VTL2's memory at idle with 1, 2 and 4 VPs: what its Linux and user space use, of what it was given.
. "$(dirname "$0")/lib.sh"
