// SPDX-License-Identifier: MIT
//
// Mbed TLS for host, test and fuzz builds of the guest state file: AES-256-GCM and nothing else.
// AES-NI is found at run time. No heap: GCM holds its cipher itself when the generic cipher layer
// is left out.
#pragma once

#define MBEDTLS_AES_C
#define MBEDTLS_GCM_C
#define MBEDTLS_AESNI_C
#define MBEDTLS_HAVE_ASM
