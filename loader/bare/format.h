// SPDX-License-Identifier: MIT
//
// printf-style formatting without a C library. Pure; also built for the host, where it is tested.
#pragma once

#include <stdarg.h>
#include <stddef.h>

/// Formats into out[0, size_bytes) and always terminates (if size_bytes > 0); what does not fit is
/// cut off. Knows %s %c %d %u %x %p %% with '-', '0', width, ".N"/".*" for %s, and l, ll, z.
/// An unknown directive is printed as it stands and takes no argument.
/// Returns the number of characters written without the terminator.
__attribute__((format(printf, 3, 0))) size_t bare_vformat(char *out, size_t size_bytes,
                                                          const char *format, va_list args);

__attribute__((format(printf, 3, 4))) size_t bare_format(char *out, size_t size_bytes,
                                                         const char *format, ...);
