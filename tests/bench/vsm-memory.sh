#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# VTL2's memory at idle on vsm, with 1, 2 and 4 VPs: memory.sh, with minihost playing Hyper-V.
PLATFORM=vsm row_prefix=vsm-
. "$(dirname "$0")/memory.sh"
