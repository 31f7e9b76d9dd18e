// SPDX-License-Identifier: MIT
//
// The TPM's command and response buffers (TCG PC Client PTP 1.05, section 6.5.3): their addresses
// and sizes, commands that lie about their length, accesses across the ends of localities, and a
// second VP that changes what the TPM reads.

#include "tests/guest/bare/attack.h"

#define TPM        0xfed40000u
#define LOCALITY   0x1000u
#define LOC_CTRL   0x08u
#define CTRL_REQ   0x40u
#define CTRL_STS   0x44u
#define CANCEL     0x48u
#define START      0x4cu
#define CMD_SIZE   0x58u
#define CMD_ADDR   0x5cu
#define RSP_SIZE   0x64u
#define RSP_ADDR   0x68u
#define DATA       0x80u
#define DATA_BYTES 0xf80u

static volatile uint32_t *reg(unsigned offset) {
    return at32(TPM + offset);
}

static uint32_t swap32(uint32_t v) {
    return __builtin_bswap32(v);
}

/// A command of 12 bytes, with a header that claims this size. The response code, ~0: no end.
static uint32_t run_command(const uint8_t bytes[12], uint32_t claimed_bytes) {
    uint32_t words[3];
    __builtin_memcpy(words, bytes, sizeof(words));
    *reg(LOC_CTRL) = 1; // request locality 0
    *reg(CTRL_REQ) = 1; // ready
    for (unsigned i = 0; i < 3; i++) {
        *reg(DATA + 4 * i) = words[i];
    }
    *(volatile uint16_t *)(uintptr_t)(TPM + DATA + 2) = (uint16_t)swap32(claimed_bytes);
    *(volatile uint16_t *)(uintptr_t)(TPM + DATA + 4) = (uint16_t)(swap32(claimed_bytes) >> 16);
    *reg(START) = 1;
    for (unsigned i = 0; i < 2000 && *reg(START); i++) {
        wait_us(500);
    }
    if (*reg(START)) {
        return ~0u;
    }
    uint32_t low = *reg(DATA + 4), high = *reg(DATA + 8);
    return swap32(low >> 16 | high << 16);
}

/// GetRandom of 8 bytes, behind Startup, whose result does not matter.
static uint32_t command(uint32_t claimed_bytes) {
    static const uint8_t startup[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0};
    static const uint8_t get_random[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8};
    run_command(startup, 12);
    return run_command(get_random, claimed_bytes);
}

/// Where the buffers are is not the guest's to say.
ATTACK(tpm_addresses, ATTACK_ANY) {
    uint64_t changed = 0;
    const unsigned offsets[] = {CMD_SIZE, CMD_ADDR, CMD_ADDR + 4, RSP_SIZE, RSP_ADDR, RSP_ADDR + 4};
    uint32_t before = command(12);
    for (unsigned i = 0; i < target_count; i++) {
        for (unsigned k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++) {
            uint32_t was = *reg(offsets[k]);
            *reg(offsets[k]) = (uint32_t)targets[i];
            *at64(TPM + (offsets[k] & ~7u)) = targets[i];
            changed += *reg(offsets[k]) != was;
        }
    }
    uint32_t after = command(12);
    VERDICT(changed == 0 && before == 0 && after == 0,
            "tpm_addresses # registers changed, a command's result $ before, $ after", changed,
            before, after);
}

ATTACK(tpm_sizes, ATTACK_ANY) {
    static const uint32_t sizes[] = {0,          1,          9,          10,        11,
                                     13,         DATA_BYTES, 0xf81,      0x1000,    0xffff,
                                     0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff6};
    uint64_t accepted = 0, silent = 0;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t result = command(sizes[i]);
        accepted += result == 0;
        silent += result == ~0u;
    }
    uint32_t after = command(12);
    VERDICT(accepted == 0 && silent == 0 && after == 0,
            "tpm_sizes # accepted, # without an answer, then a command's result $", accepted,
            silent, after);
}

static void touch(void *argument) {
    uint64_t at = *(uint64_t *)argument;
    *at64(at) = *at64(at) ^ garbage();
    *(volatile uint16_t *)(uintptr_t)at = (uint16_t) * (volatile uint16_t *)(uintptr_t)at;
    __asm__ volatile("movdqu (%0), %%xmm0\n\tmovdqu %%xmm0, (%0)" : : "r"(at) : "memory");
}

/// Across the ends of localities and of the whole; every offset of a page's last bytes.
ATTACK(tpm_ends, ATTACK_ANY) {
    uint64_t faults = 0, touched = 0;
    for (unsigned locality = 0; locality <= 5; locality++) {
        for (unsigned offset = 0; offset < 16; offset++) {
            uint64_t at = TPM + locality * LOCALITY - 8 + offset;
            faults += try_call(touch, &at) != 0;
            touched++;
        }
    }
    for (unsigned locality = 0; locality < 5; locality++) {
        *reg(locality * LOCALITY + LOC_CTRL) = 2; // relinquish
    }
    uint32_t after = command(12);
    VERDICT(after == 0, "tpm_ends # places, # faults, then a command's result $", touched, faults,
            after);
}

static void scribble(void *argument) {
    (void)argument;
    while (!other_stop) {
        *reg(DATA + garbage() % 16 * 4) = garbage();
        *reg(START) = 1;
        *reg(CANCEL) = garbage() & 1;
        *reg(CTRL_REQ) = 1u << (garbage() & 1);
        *reg(LOCALITY * (garbage() % 5) + LOC_CTRL) = 1u << garbage() % 3;
    }
}

ATTACK(tpm_race, ATTACK_OTHER) {
    uint64_t rounds = 0;
    if (!other_start(scribble, NULL)) {
        VERDICT(0, "tpm_race no second VP #", 0);
        return;
    }
    for (; rounds < 20; rounds++) {
        *reg(LOC_CTRL) = 1;
        *reg(CTRL_REQ) = 1;
        for (unsigned i = 0; i < 8; i++) {
            *reg(DATA + 4 * i) = i == 0 ? 0x00000180u : garbage();
        }
        *reg(START) = 1;
        wait_us(300);
    }
    other_stop = 1;
    int ended = other_wait();
    for (unsigned locality = 0; locality < 5; locality++) {
        *reg(locality * LOCALITY + LOC_CTRL) = 2;
    }
    *reg(CANCEL) = 0;
    uint32_t after = command(12);
    VERDICT(ended && after == 0, "tpm_race # rounds, then a command's result $", rounds, after);
}
