// SPDX-License-Identifier: MIT
//
// Attacks: each is one function that tries one kind of thing that a guest must not be able to do,
// in a machine that was just started, and says with VERDICT what came of it. Registered by ATTACK
// in a section of the image, from where the image lists them itself; docs/hostile-guest.md.
#pragma once

#include "tests/guest/bare/bare.h"

struct attack {
    const char *name;
    void (*run)(void);
    uint64_t flags;
};

#define ATTACK_ANY   0u
#define ATTACK_DIES  1u ///< may end the guest: then the paravisor says why and starts it anew
#define ATTACK_HANGS 2u ///< may leave no processor of the guest's running: the host resets it
#define ATTACK_VSM   4u ///< needs Hyper-V's interface
#define ATTACK_OTHER 8u ///< needs a second VP

#define ATTACK(name, flags)                                                                        \
    static void attack_##name(void);                                                               \
    static const struct attack entry_##name                                                        \
        __attribute__((section(".attacks"), used, aligned(8))) = {#name, attack_##name, flags};    \
    static void attack_##name(void)

/// A literal "NAME detail" with '#' and '$' for the numbers.
#define VERDICT(ok, words, ...)                                                                    \
    do {                                                                                           \
        if (ok) {                                                                                  \
            SAY("pass " words, __VA_ARGS__);                                                       \
        } else {                                                                                   \
            attack_failed = 1;                                                                     \
            SAY("fail " words, __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)
extern int attack_failed;

/// Before the step after which the guest may be gone.
void attack_dies(void);

/// Addresses that are not the guest's RAM, below 4 GiB: VTL2's memory and minihost's (on vsm), what
/// lies behind the end of RAM. Page aligned.
extern uint64_t targets[16];
extern unsigned target_count;
/// The end of the guest's RAM before the first hole: an access can straddle it.
extern uint64_t first_hole;
/// Whether the guest sees Hyper-V's interface.
int has_hyperv(void);

/// The image's list, the platform's targets.
void attack_init(const uint8_t *boot_params);
/// Runs the attacks that the command line names, one per start of the machine: does not return
/// while there is one left.
void attack_in_turn(const char *tests);
/// Runs the attack that the host names on the console; returns what is no attack's name.
const char *attack_ask(void);
/// Whether name stands in a list with commas that ends at a space.
int is_listed(const char *list, const char *name);
