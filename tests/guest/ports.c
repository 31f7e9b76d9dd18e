// SPDX-License-Identifier: MIT
//
// Port access for the test program: instructions where they work, else bytes through /dev/port.
// They do not work for a user program in a guest nested in QEMU TCG: its check of the TSS wants the
// type "available", and a task register that VMLOAD has filled says "busy" (#GP).

#include "tests/guest/ports.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/io.h>
#include <unistd.h>

static sigjmp_buf after_fault;
static bool direct;
static int port_fd = -1;

static void on_fault(int signal) {
    (void)signal;
    siglongjmp(after_fault, 1);
}

int ports_open(void) {
    struct sigaction action = {.sa_handler = on_fault}, before;
    sigaction(SIGSEGV, &action, &before);
    if (sigsetjmp(after_fault, 1) == 0 && iopl(3) == 0) {
        inb(0x80);
        direct = true;
    }
    sigaction(SIGSEGV, &before, NULL);
    port_fd = open("/dev/port", O_RDWR | O_CLOEXEC);
    return direct || port_fd >= 0 ? 0 : -1;
}

bool ports_direct(void) {
    return direct;
}

void port_write(unsigned port, unsigned size, uint32_t v) {
    if (!direct) {
        // Consecutive bytes in one call: one OUT each.
        if (pwrite(port_fd, &v, size, (off_t)port) < 0) {
            return;
        }
    } else if (size == 1) {
        outb((unsigned char)v, (unsigned short)port);
    } else if (size == 2) {
        outw((unsigned short)v, (unsigned short)port);
    } else {
        outl(v, (unsigned short)port);
    }
}

uint32_t port_read(unsigned port, unsigned size) {
    uint32_t v = 0;
    if (!direct) {
        return pread(port_fd, &v, size, (off_t)port) == (ssize_t)size ? v : ~0u;
    }
    return size == 1   ? inb((unsigned short)port)
           : size == 2 ? inw((unsigned short)port)
                       : inl((unsigned short)port);
}

void port_read_bytes(unsigned port, unsigned count) {
    uint8_t bytes[64];
    if (!direct) {
        if (pread(port_fd, bytes, count % 65, (off_t)port) < 0) {
            return;
        }
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        inb((unsigned short)(port + i));
    }
}
