// SPDX-License-Identifier: MIT
//
// The formatter of shim and minihost: the part of C17 7.21.6.1 that boot messages need.

#include "loader/bare/format.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_WIDTH 64u

struct sink {
    char *out;
    size_t size;
    size_t count; // invariant: count < size, or size == 0
};

struct directive {
    bool left;
    bool zero;
    unsigned width;
    size_t precision; // SIZE_MAX: none
    unsigned longs;   // 0 int, 1 long/size_t, 2 long long
};

static void put(struct sink *s, char c) {
    if (s->count + 1 < s->size) {
        s->out[s->count++] = c;
    }
}

static void put_padded(struct sink *s, const struct directive *d, const char *text, size_t count) {
    size_t pad = d->width > count ? d->width - count : 0;
    bool zero = d->zero && !d->left;

    if (zero && count != 0 && text[0] == '-') { // the sign stands before the zeroes
        put(s, '-');
        text++;
        count--;
    }
    for (; !d->left && pad != 0; pad--) {
        put(s, zero ? '0' : ' ');
    }
    for (size_t i = 0; i < count; i++) {
        put(s, text[i]);
    }
    for (; d->left && pad != 0; pad--) {
        put(s, ' ');
    }
}

static void put_number(struct sink *s, const struct directive *d, uint64_t value, bool negative,
                       unsigned base) {
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    if (negative) {
        digits[--at] = '-';
    }
    put_padded(s, d, digits + at, sizeof(digits) - at);
}

static const char *parse_number(const char *at, unsigned *value) {
    *value = 0;
    while (*at >= '0' && *at <= '9') {
        *value = *value * 10 + (unsigned)(*at++ - '0');
        if (*value > MAX_WIDTH) {
            *value = MAX_WIDTH;
        }
    }
    return at;
}

/// Reads flags, width and length; a ".*" precision takes its argument.
static const char *parse_directive(const char *at, struct directive *d, va_list *args) {
    unsigned number;

    *d = (struct directive){.precision = SIZE_MAX};
    for (; *at == '-' || *at == '0'; at++) {
        d->left |= *at == '-';
        d->zero |= *at == '0';
    }
    at = parse_number(at, &d->width);
    if (at[0] == '.' && at[1] == '*') {
        int given = va_arg(*args, int);

        d->precision = given < 0 ? SIZE_MAX : (size_t)given;
        at += 2;
    } else if (at[0] == '.') {
        at = parse_number(at + 1, &number);
        d->precision = number;
    }
    if (*at == 'z') {
        d->longs = 1;
        at++;
    }
    for (; *at == 'l' && d->longs < 2; at++) {
        d->longs++;
    }
    return at;
}

static uint64_t take_unsigned(const struct directive *d, va_list *args) {
    return d->longs == 0   ? va_arg(*args, unsigned)
           : d->longs == 1 ? va_arg(*args, unsigned long)
                           : va_arg(*args, unsigned long long);
}

static int64_t take_signed(const struct directive *d, va_list *args) {
    return d->longs == 0   ? va_arg(*args, int)
           : d->longs == 1 ? va_arg(*args, long)
                           : va_arg(*args, long long);
}

/// Prints one directive whose conversion letter is *at; returns false for an unknown one.
static bool convert(struct sink *s, char letter, const struct directive *d, va_list *args) {
    const char *text;
    int64_t number;
    char c;

    switch (letter) {
    case 's':
        text = va_arg(*args, const char *);
        text = text == NULL ? "(null)" : text;
        put_padded(s, d, text, strnlen(text, d->precision));
        return true;
    case 'c':
        c = (char)va_arg(*args, int);
        put_padded(s, d, &c, 1);
        return true;
    case 'd':
        number = take_signed(d, args);
        put_number(s, d, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, number < 0, 10);
        return true;
    case 'u':
        put_number(s, d, take_unsigned(d, args), false, 10);
        return true;
    case 'x':
        put_number(s, d, take_unsigned(d, args), false, 16);
        return true;
    case 'p':
        put_number(s, d, (uintptr_t)va_arg(*args, void *), false, 16);
        return true;
    default:
        return false;
    }
}

size_t bare_vformat(char *out, size_t size_bytes, const char *format, va_list args) {
    struct sink s = {.out = out, .size = size_bytes};
    struct directive d;
    va_list rest;

    va_copy(rest, args); // an array type on this ABI: a copy has an address that can be passed on
    while (*format != '\0') {
        const char *start = format++;
        const char *end;

        if (*start != '%' || *format == '%') {
            put(&s, *start);
            format += *start == '%';
            continue;
        }
        end = parse_directive(format, &d, &rest);
        if (convert(&s, *end, &d, &rest)) {
            format = end + 1;
        } else {
            put(&s, '%');
        }
    }
    va_end(rest);
    if (size_bytes != 0) {
        out[s.count] = '\0';
    }
    return s.count;
}

size_t bare_format(char *out, size_t size_bytes, const char *format, ...) {
    va_list args;
    size_t count;

    va_start(args, format);
    count = bare_vformat(out, size_bytes, format, args);
    va_end(args);
    return count;
}
