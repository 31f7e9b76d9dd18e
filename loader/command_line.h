// SPDX-License-Identifier: MIT
//
// Joins the measured kernel command line with the host's. Pure; the host's text is hostile.
#pragma once

#include <stddef.h>

/// Writes "measured" or "measured host" into out, NUL-terminated. host may be NULL, or is a buffer
/// of host_size_bytes that must hold a NUL; blanks at its ends are dropped.
/// Returns the length. -ENAMETOOLONG: even the measured line does not fit (out is then empty).
/// A host line that is unterminated, too long or has bytes other than printable ASCII is left out
/// as a whole: *why then says so, otherwise *why is NULL.
int command_line_merge(char *out, size_t out_size_bytes, const char *measured, const char *host,
                       size_t host_size_bytes, const char **why);
