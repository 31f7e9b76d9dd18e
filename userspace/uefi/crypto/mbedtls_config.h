// SPDX-License-Identifier: MIT
//
// Mbed TLS for authenticated variables, the same in the product, its tests and tools: verifying
// RSA (PKCS#1 v1.5) and parsing X.509, nothing that signs, decrypts, knows the time or the network.
#pragma once

#define MBEDTLS_HAVE_ASM
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C // rsa.c's and pk.c's, linked out
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_MD_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_RSA_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C

#define MBEDTLS_MPI_MAX_SIZE             512 // bytes: RSA-4096
#define MBEDTLS_X509_MAX_INTERMEDIATE_CA 8   // UEFI_PKCS7_MAX_CERTIFICATES
