// SPDX-License-Identifier: MIT
//
// probe: the guest's test program. One static binary, one command per check; the commands' results
// are lines on standard output that the host side (tests/boot/lib.sh) reads:
//   PT pass NAME [detail]    PT fail NAME detail    PT skip NAME reason    PT value NAME NUMBER
//   UNIT
// It knows nothing of the paravisor: every check holds on any machine that has such a device.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

/// Result lines. NAME has no spaces. report_failed() says whether a fail line was printed.
void pass(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
void fail(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
void skip(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
void value(const char *name, double number, const char *unit);
bool report_failed(void);

/// pass when ok, else fail; the detail is printed either way.
void check(bool ok, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

/// Reads a small file whole; NUL-terminated, trailing newline removed. Length or -errno.
long read_text(const char *path, char *text, size_t size);
long read_number(const char *path, long missing); ///< decimal or 0x…; missing when unreadable

uint64_t now_ns(void);
void sleep_ms(unsigned ms);

/// A fixed-seed generator: the same garbage every time (xorshift64*).
uint64_t random_next(uint64_t *state);

// The commands. argv[0] is the command's name; the exit status is 0 when nothing failed.
int cmd_modules(int argc, char **argv); ///< FILE…: loads kernel modules in order
int cmd_smp(int argc, char **argv);     ///< [COUNT]: all CPUs online, each runs
int cmd_memory(int argc, char **argv);  ///< [MIN_MIB [strict]]: RAM works, nothing behind its end
int cmd_pci(int argc, char **argv);     ///< virtio devices bound, MSI-X in use
int cmd_rtc(int argc, char **argv);     ///< time of day sane, ticking, update interrupt
int cmd_pmtimer(int argc, char **argv); ///< ACPI PM timer runs at 3.579545 MHz
int cmd_acpi(int argc, char **argv);    ///< tables there, power button found
int cmd_rng(int argc, char **argv);     ///< virtio-rng gives bytes
int cmd_serial(int argc, char **argv);  ///< COM1 is a 16550A that sends and interrupts
int cmd_button(int argc, char **argv);  ///< waits for the ACPI power button
int cmd_tpm(int argc, char **argv);     ///< TPM 2.0 commands through /dev/tpmN

/// N of the only TPM: the kernel counts on when a TPM's driver was bound anew. 0 without a TPM.
unsigned tpm_number(void);
int cmd_tpm_extend(int argc, char **argv);   ///< extends PCR 16..18 and leaves it so
int cmd_tpm_fresh(int argc, char **argv);    ///< PCRs are at their reset values
int cmd_bench_tpm(int argc, char **argv);    ///< TPM commands per second
int cmd_tpm_state(int argc, char **argv);    ///< an NV index and the EK, over power cycles
int cmd_tpm_garbage(int argc, char **argv);  ///< malformed commands, then a good one
int cmd_disk(int argc, char **argv);         ///< DEVICE: data, sizes, flush, discard, zeroes
int cmd_disk_pattern(int argc, char **argv); ///< DEVICE: writes what the host then looks for
int cmd_disk_readonly(int argc, char **argv);
int cmd_disk_errors(int argc, char **argv); ///< DEVICE: errors are errors, the rest still works
int cmd_disk_busy(int argc, char **argv);   ///< DEVICE: I/O until it fails or SECONDS pass
int cmd_hostile(int argc, char **argv);     ///< ports|pci|mmio|memory|chips|all
int cmd_bench_port(int argc, char **argv);  ///< PORT COUNT: one emulated access
int cmd_bench_read(int argc, char **argv);  ///< DEVICE rand|seq BLOCK DEPTH SECONDS
