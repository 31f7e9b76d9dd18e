// SPDX-License-Identifier: MIT
//
// An event loop (devices/loop.h) for tests: the clock stands still until the test advances it, and
// nothing completes until the test runs the loop. Single-threaded.
#pragma once

#include "devices/loop.h"

#include <stddef.h>

/// What the next operations shall return, in order of submission; see fake_loop_script.
#define FAKE_LOOP_MAX_SCRIPT 32u
#define FAKE_LOOP_MAX_STREAM 65536u

struct fake_script {
    bool active;
    uint64_t after; ///< operations to let through before this entry
    int64_t result; ///< negative: the error; positive: move so many bytes at most; 0: move none
};

struct fake_loop {
    struct loop loop; ///< first: give &fl.loop to devices
    uint64_t now_ns;
    struct loop_timer *timers;
    struct loop_task *tasks;
    struct loop_task **tasks_tail;
    struct loop_io *ios; ///< submitted, in order
    struct loop_io **ios_tail;
    bool hold_io; ///< true: fake_loop_run leaves operations; fake_loop_complete ends them
    uint64_t submitted_count;
    uint64_t completed_count;
    struct fake_script script[FAKE_LOOP_MAX_SCRIPT];
    // What file operations act on, whatever their fd. Offsets outside: -EIO.
    uint8_t *file;
    size_t file_bytes;
    uint64_t fsync_count;
    uint64_t fua_count;
    // What LOOP_READ, LOOP_WRITE and LOOP_POLL_IN act on. An empty input keeps a read or poll
    // waiting until input_closed.
    size_t input_bytes;
    bool input_closed;
    size_t output_bytes;
    uint8_t input[FAKE_LOOP_MAX_STREAM];
    uint8_t output[FAKE_LOOP_MAX_STREAM];
};

/// Sets up a loop; its clock starts at 1 s, so that "a second ago" exists. file may be NULL.
void fake_loop_init(struct fake_loop *fl, uint8_t *file, size_t file_bytes);

/// Runs tasks, due timers and (unless hold_io) operations until nothing is left to do now. Gives up
/// after 100000 steps and returns false: something rearms itself for ever.
bool fake_loop_run(struct fake_loop *fl);

/// Moves the clock on by ns, firing timers at their own times in order.
bool fake_loop_advance(struct fake_loop *fl, uint64_t ns);

/// Completes the oldest operation (or the one given) now, by its normal result. False: none there.
bool fake_loop_complete(struct fake_loop *fl, struct loop_io *io);

/// Completes it with this result, moving no data.
bool fake_loop_complete_with(struct fake_loop *fl, struct loop_io *io, int64_t result);

/// The operation submitted after `after` further ones ends with this result: negative is an error;
/// a positive count makes a short transfer.
void fake_loop_script(struct fake_loop *fl, uint64_t after, int64_t result);

/// Adds bytes to the input stream.
void fake_loop_feed(struct fake_loop *fl, const void *bytes, size_t size_bytes);

/// Time of the next timer, UINT64_MAX when none is armed.
uint64_t fake_loop_next_deadline(const struct fake_loop *fl);
