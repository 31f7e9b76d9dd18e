// SPDX-License-Identifier: MIT
//
// A spin lock for the CPUs of minihost. A holder never waits for anything but the machine itself,
// and nothing interrupts it: minihost runs with the global interrupt flag clear.
#pragma once

#include <stdint.h>

/// Zero-initialised is free.
struct spinlock {
    uint32_t taken;
};

static inline void spin_lock(struct spinlock *lock) {
    while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED) != 0) {
            __builtin_ia32_pause();
        }
    }
}

static inline void spin_unlock(struct spinlock *lock) {
    __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}
