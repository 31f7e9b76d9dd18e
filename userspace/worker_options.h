// SPDX-License-Identifier: MIT
//
// The command lines that the supervisor gives its workers: --name=value and --name=DESCRIPTOR.
#pragma once

#include <stdbool.h>
#include <stddef.h>

/// "--name=value" -> value; NULL when arg is another option. name without dashes at the end: "--x".
const char *worker_option(const char *arg, const char *name);

/// A decimal number from 0 to INT32_MAX; -1 when text is none.
int worker_number(const char *text);

/// An option whose value is a number: a descriptor, a user.
struct worker_number_option {
    const char *name; ///< "--x-fd"
    int *value;
};

/// Stores the number of "--name=NUMBER" where the table says. false: arg is none of them, or its
/// value no such number.
bool worker_take_number(const char *arg, const struct worker_number_option *options, size_t count);
