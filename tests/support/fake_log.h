// SPDX-License-Identifier: MIT
//
// The log sink of tests: counts and keeps the last line, prints only with PARAPET_TEST_LOG=1 in the
// environment. Weak, so that a test of the real log replaces it.
#pragma once

#include "igvm/base/log.h"

struct fake_log {
    unsigned count[4]; ///< lines per enum log_level
    char last[256];
};
extern struct fake_log fake_log;
