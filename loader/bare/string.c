// SPDX-License-Identifier: MIT
//
// The C library functions that freestanding code, the compiler and libfdt expect (C17 7.24).
// Only linked into shim and minihost. Copies go by quadwords: silicon's fast strings do not mind,
// and QEMU's translator emulates one iteration after the other, so that bytes would take 8 times as
// long.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    void *start = to;
    size_t quads = count / 8, bytes = count % 8;

    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(quads)::"memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
    return start;
}

void *memset(void *to, int value, size_t count) {
    void *start = to;
    size_t quads = count / 8, bytes = count % 8;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101u;

    __asm__ volatile("rep stosq" : "+D"(to), "+c"(quads) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t count) {
    uint8_t *d = to;
    const uint8_t *s = from;

    if ((uintptr_t)d - (uintptr_t)s >= count) {
        return memcpy(to, from, count);
    }
    d += count - 1;
    s += count - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(count)::"memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t count) {
    const uint8_t *x = a;
    const uint8_t *y = b;

    for (size_t i = 0; i < count; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

void *memchr(const void *bytes, int value, size_t count) {
    const uint8_t *p = bytes;

    for (size_t i = 0; i < count; i++) {
        if (p[i] == (uint8_t)value) {
            return (void *)(uintptr_t)(p + i);
        }
    }
    return NULL;
}

size_t strlen(const char *text) {
    size_t count = 0;

    while (text[count] != '\0') {
        count++;
    }
    return count;
}

size_t strnlen(const char *text, size_t max) {
    size_t count = 0;

    while (count < max && text[count] != '\0') {
        count++;
    }
    return count;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (int)(uint8_t)*a - (int)(uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t max) {
    for (size_t i = 0; i < max; i++) {
        if (a[i] != b[i] || a[i] == '\0') {
            return (int)(uint8_t)a[i] - (int)(uint8_t)b[i];
        }
    }
    return 0;
}

char *strrchr(const char *text, int value) {
    const char *last = NULL;

    for (;; text++) {
        if (*text == (char)value) {
            last = text;
        }
        if (*text == '\0') {
            return (char *)(uintptr_t)last;
        }
    }
}
