// SPDX-License-Identifier: MIT
//
// The command lines that the supervisor gives its workers: --name=value and --name=DESCRIPTOR.
#pragma once

/// "--name=value" -> value; NULL when arg is another option. name without dashes at the end: "--x".
const char *worker_option(const char *arg, const char *name);

/// A decimal number from 0 to INT32_MAX; -1 when text is none.
int worker_number(const char *text);
