// SPDX-License-Identifier: MIT
//
// A PIT on a fake machine, and the accesses of its driver (pd_). cmocka's: what must hold is
// asserted.
#pragma once

#include "devices/pit.h"
#include "tests/support/fake_machine.h"

struct pit_fixture {
    struct fake_machine *m;
    struct pit pit;
    uint64_t ticks; ///< that the test has let pass since base_ns
    uint64_t base_ns;
};

/// cmocka's set-up and tear-down: *state is the fixture.
int pit_fixture_setup(void **state);
int pit_fixture_teardown(void **state);

/// Lets exactly so many ticks of the chip's clock pass.
void pd_advance(struct pit_fixture *x, uint64_t ticks);

/// A byte to or from a port; runs the loop.
void pd_out(struct pit_fixture *x, uint16_t port, unsigned value);
unsigned pd_in(struct pit_fixture *x, uint16_t port);

/// Mode and count of a channel, both bytes.
void pd_program(struct pit_fixture *x, unsigned ch, unsigned mode, unsigned count);
/// The channel's count by a latch command.
unsigned pd_latched(struct pit_fixture *x, unsigned ch);
/// The channel's status by a read-back command.
unsigned pd_status(struct pit_fixture *x, unsigned ch);

/// The channel's OUT by its status; channel 2's by port 0x61.
bool pd_high(struct pit_fixture *x, unsigned ch);
bool pd_out2(struct pit_fixture *x);
