// SPDX-License-Identifier: MIT
//
// VMGS: what must hold, each rule with the sentence that an error message quotes.
#pragma once

// clang-format off
#define VMGS_RULES(X)                                                                                          \
    X(NONE, "no rule is broken")                                                                               \
    X(DISK_SIZE, "the disk has sectors of 512 or 4096 bytes and room for at least 6 blocks of 4096 bytes")     \
    X(READ, "the disk can be read")                                                                            \
    X(WRITE, "the disk can be written")                                                                        \
    X(FLUSH, "the disk can be flushed")                                                                        \
    X(READ_ONLY, "the disk is open for writing")                                                               \
    X(STALE, "after a failed header write the file is opened again before it is changed")                      \
    X(EMPTY, "the file is not empty (both headers are zero)")                                                  \
    X(VERSION_1, "the file is not of the old version 1 (a partitioned disk)")                                  \
    X(SIGNATURE, "a header starts with the signature GUESTRTS")                                                \
    X(VERSION, "the version is 3.0")                                                                           \
    X(HEADER_SIZE, "a header says that it has 168 bytes")                                                      \
    X(CHECKSUM, "a header's checksum is the CRC-32 of its 168 bytes")                                          \
    X(TABLE_PLACE, "the file table is one block, after the headers and on the disk")                           \
    X(ALGORITHM, "the encryption algorithm is none or AES-256-GCM")                                            \
    X(SEQUENCE, "the two headers' sequence numbers differ by one")                                             \
    X(FILE_PLACE, "a file's blocks are after the headers and on the disk")                                     \
    X(FILE_SIZE, "a file is not larger than its blocks")                                                       \
    X(FILE_ATTRIBUTES, "a file's attributes are defined ones, the same in both tables")                        \
    X(FILE_OVERLAP, "no block belongs to two files")                                                           \
    X(TABLE_ENTRY, "the file table's own entry is where the header says")                                      \
    X(EXTENDED_TABLE, "an encrypted file system has an extended file table of 4096 bytes")                     \
    X(EXTENDED_TAG, "the extended file table decrypts with the metadata key")                                  \
    X(KEY, "a key is not all zero")                                                                            \
    X(KEY_WRONG, "the key opens one of the two key slots")                                                     \
    X(KEY_EXISTS, "a file system is encrypted once; then its key is changed")                                  \
    X(NOT_ENCRYPTED, "a key is for an encrypted file system")                                                  \
    X(LOCKED, "what is encrypted is read, written or deleted with the key")                                    \
    X(FILE_TAG, "an encrypted file decrypts with its key")                                                     \
    X(FILE_GONE, "an encrypted file that the extended file table names exists")                                \
    X(FILE_ID, "a file's id is 1 to 62")                                                                       \
    X(FILE_MISSING, "the file exists")                                                                         \
    X(FILE_ROOM, "the caller's buffer has room for the file")                                                  \
    X(EXPOSE, "an encrypted file is not written in plain text")                                                \
    X(SPACE, "free blocks in one piece are enough for the new file beside the old one")                        \
    X(RANDOM, "random numbers can be had")                                                                     \
    X(CRYPTO, "the cipher works")

// clang-format on
