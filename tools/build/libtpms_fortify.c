// SPDX-License-Identifier: MIT
/*
 * Debian's libtpms.a is built for glibc with _FORTIFY_SOURCE: it calls checking variants of C
 * library functions that musl does not have (Linux Standard Base, "libc interfaces", __*_chk).
 * deps.sh adds this file to the copy of the archive that musl programs link. A size that does not
 * fit ends the process, as in glibc: the vTPM runs in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The callers were compiled against glibc's jmp_buf and both libraries must agree on its room.
_Static_assert(sizeof(jmp_buf) == 200, "glibc's jmp_buf has 200 bytes on x86-64");

void *__memcpy_chk(void *dest, const void *src, size_t len_bytes, size_t dest_bytes);
void *__memset_chk(void *dest, int value, size_t len_bytes, size_t dest_bytes);
_Noreturn void __longjmp_chk(jmp_buf env, int value);
int __asprintf_chk(char **out, int flag, const char *format, ...);
int __vasprintf_chk(char **out, int flag, const char *format, va_list args);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list args);
int __snprintf_chk(char *out, size_t len_bytes, int flag, size_t out_bytes, const char *format,
                   ...);
int __vsnprintf_chk(char *out, size_t len_bytes, int flag, size_t out_bytes, const char *format,
                    va_list args);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __printf_chk(int flag, const char *format, ...);

static void check_fits(size_t len_bytes, size_t room_bytes) {
    if (len_bytes > room_bytes)
        abort();
}

void *__memcpy_chk(void *dest, const void *src, size_t len_bytes, size_t dest_bytes) {
    check_fits(len_bytes, dest_bytes);
    return memcpy(dest, src, len_bytes);
}

void *__memset_chk(void *dest, int value, size_t len_bytes, size_t dest_bytes) {
    check_fits(len_bytes, dest_bytes);
    return memset(dest, value, len_bytes);
}

// glibc also checks that the jump goes up the stack; musl's longjmp has no such check.
_Noreturn void __longjmp_chk(jmp_buf env, int value) {
    longjmp(env, value);
}

int __vasprintf_chk(char **out, int flag, const char *format, va_list args) {
    (void)flag;
    return vasprintf(out, format, args);
}

int __asprintf_chk(char **out, int flag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = __vasprintf_chk(out, flag, format, args);
    va_end(args);
    return len;
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list args) {
    (void)flag;
    return vdprintf(fd, format, args);
}

int __dprintf_chk(int fd, int flag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = __vdprintf_chk(fd, flag, format, args);
    va_end(args);
    return len;
}

int __vsnprintf_chk(char *out, size_t len_bytes, int flag, size_t out_bytes, const char *format,
                    va_list args) {
    (void)flag;
    check_fits(len_bytes, out_bytes);
    return vsnprintf(out, len_bytes, format, args);
}

int __snprintf_chk(char *out, size_t len_bytes, int flag, size_t out_bytes, const char *format,
                   ...) {
    va_list args;
    va_start(args, format);
    int len = __vsnprintf_chk(out, len_bytes, flag, out_bytes, format, args);
    va_end(args);
    return len;
}

int __fprintf_chk(FILE *stream, int flag, const char *format, ...) {
    (void)flag;
    va_list args;
    va_start(args, format);
    int len = vfprintf(stream, format, args);
    va_end(args);
    return len;
}

int __printf_chk(int flag, const char *format, ...) {
    (void)flag;
    va_list args;
    va_start(args, format);
    int len = vprintf(format, args);
    va_end(args);
    return len;
}
