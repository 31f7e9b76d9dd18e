// SPDX-License-Identifier: MIT
//
// Mbed TLS as the shim uses it: SHA-384 and nothing else, no platform below it.
#pragma once

#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C // 3.6: SHA-384 lives in the same file and shares its interface
