// SPDX-License-Identifier: MIT
//
// The VM's configuration: JSON text in, one struct out. Pure: no files, no globals.
//
// Two texts make a configuration: the measured one (in VTL2's initrd) and, where the measured one
// allows it, the host's, which may set only the keys listed under "host_may_set". Every key is in
// one table (config_keys.c); parapet.schema.json and docs/configuration.md describe the same keys.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_DISKS      16u
#define CONFIG_PATH_BYTES     256u
#define CONFIG_SERIAL_BYTES   21u ///< as in struct disk_info
#define CONFIG_CMDLINE_BYTES  2048u
#define CONFIG_MAX_HOST_PATHS 32u
#define CONFIG_MAX_TEXT_BYTES 32768u ///< of one JSON text
#define CONFIG_MAX_VPS        64u
#define CONFIG_NAME_BYTES     32u
#define CONFIG_KEY_BYTES      32u ///< guest_state.key

enum config_console { CONFIG_CONSOLE_NONE, CONFIG_CONSOLE_VIRTIO, CONFIG_CONSOLE_SERIAL };
enum config_on_reset { CONFIG_RESET_RESTART, CONFIG_RESET_STOP };
enum config_boot { CONFIG_BOOT_LINUX, CONFIG_BOOT_UEFI };
enum config_on_crash { CONFIG_CRASH_STOP, CONFIG_CRASH_RESTART };

/// One disk of the guest: a path, or an NVMe controller found by its serial number.
struct config_disk {
    char path[CONFIG_PATH_BYTES];
    char nvme_serial[CONFIG_SERIAL_BYTES];
    char serial[CONFIG_SERIAL_BYTES]; ///< shown to the guest; empty: the device's own
    bool read_only;
    bool buffered; ///< through the page cache: files on file systems without direct I/O
};

struct config {
    uint32_t log_level; ///< enum log_level
    // guest
    uint32_t vps;                     ///< 0: one per processor of VTL2
    uint64_t memory_bytes;            ///< 0: all there is
    uint32_t boot;                    ///< enum config_boot
    char firmware[CONFIG_PATH_BYTES]; ///< a file; empty: the image's payload
    bool firmware_log;                ///< debug console, to the log at level debug
    char kernel[CONFIG_PATH_BYTES];   ///< a file; empty: the image's payload
    char initrd[CONFIG_PATH_BYTES];
    char command_line[CONFIG_CMDLINE_BYTES];
    char command_line_append[CONFIG_CMDLINE_BYTES];
    uint32_t on_reset; ///< enum config_on_reset
    uint32_t on_crash; ///< enum config_on_crash: triple fault
    bool halt_exits;   ///< false: HLT does not leave the guest (its processors are its own)
    bool rng;
    bool own_chips; ///< IOAPIC, PICs and PIT are ours also where the platform has them
    // console, serial
    uint32_t console; ///< enum config_console
    char console_backend[CONFIG_PATH_BYTES];
    char serial_backend[CONFIG_PATH_BYTES]; ///< "null": dropped
    // tpm
    bool tpm_enabled;
    char tpm_state[CONFIG_PATH_BYTES]; ///< used without a guest state
    // guest state: a VMGS disk
    char state_path[CONFIG_PATH_BYTES];
    char state_nvme_serial[CONFIG_SERIAL_BYTES];
    bool state_format;                   ///< an empty disk is made a guest state
    uint32_t state_key_bytes;            ///< 0: not encrypted
    uint8_t state_key[CONFIG_KEY_BYTES]; ///< secret: config_forget_secrets()
    // Secure Boot
    bool secure_boot;
    char secure_boot_template[CONFIG_NAME_BYTES]; ///< keys for a new variable store
    char secure_boot_keys[CONFIG_PATH_BYTES];     ///< JSON file of the template "custom"
    // disks
    uint32_t disk_count;
    struct config_disk disks[CONFIG_MAX_DISKS];
    // who may set what
    uint32_t host_path_count;
    char host_paths[CONFIG_MAX_HOST_PATHS][64]; ///< "disks", "guest.vps", …
};

/// One sentence: FILE:LINE: KEY: what was expected, what was found.
struct config_error {
    char text[512];
};

/// The defaults of every key.
void config_defaults(struct config *config);

/// Applies a JSON text to *config; text need not end with NUL. name is for messages. host: only
/// keys that config->host_paths lists are allowed. -EINVAL with *error filled, *config then
/// unspecified; -ENOMEM.
int config_apply(struct config *config, const char *name, const char *text, size_t size_bytes,
                 bool host, struct config_error *error);

/// Whether there is a guest state.
bool config_has_state(const struct config *config);

/// Zeroes the keys: for every process that does not serve them.
void config_forget_secrets(struct config *config);

/// What one key alone cannot say. -EINVAL with *error filled.
int config_check(const struct config *config, const char *name, struct config_error *error);
