// SPDX-License-Identifier: MIT
//
// Every key of the configuration, its place, its type and its bounds; and the defaults.
// parapet.schema.json says the same for editors (a unit test compares them).
#include "userspace/config_keys.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"

#include <stdio.h>
#include <string.h>

#define TEXT(key_, strukt, member)                                                                 \
    {                                                                                              \
        .name = (key_), .type = CONFIG_TEXT, .off = offsetof(strukt, member),                      \
        .size = sizeof(((strukt *)0)->member)                                                      \
    }
#define BOOL(key_, strukt, member)                                                                 \
    { .name = (key_), .type = CONFIG_BOOL, .off = offsetof(strukt, member) }
#define ENUM(key_, member, names_)                                                                 \
    {                                                                                              \
        .name = (key_), .type = CONFIG_ENUM, .off = offsetof(struct config, member),               \
        .names = (names_)                                                                          \
    }
#define OBJECT(key_, object_)                                                                      \
    { .name = (key_), .type = CONFIG_OBJECT, .object = &(object_) }
#define KEYS(array_)                                                                               \
    { .keys = (array_), .key_count = ARRAY_COUNT(array_) }

#define MIN_MEMORY_BYTES (32ull << 20)
#define MAX_MEMORY_BYTES (1ull << 46)

static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};
static const char *const console_names[] = {"none", "virtio", "serial", NULL};
static const char *const boot_names[] = {"linux", "uefi", NULL};
static const char *const reset_names[] = {"restart", "stop", NULL};
static const char *const crash_names[] = {"stop", "restart", NULL};

static const struct config_key guest_keys[] = {
    {.name = "vps", .type = CONFIG_U32, .off = offsetof(struct config, vps), .max = CONFIG_MAX_VPS},
    {.name = "memory",
     .type = CONFIG_BYTES,
     .off = offsetof(struct config, memory_bytes),
     .min = MIN_MEMORY_BYTES,
     .max = MAX_MEMORY_BYTES},
    ENUM("boot", boot, boot_names),
    TEXT("firmware", struct config, firmware),
    BOOL("firmware_log", struct config, firmware_log),
    TEXT("kernel", struct config, kernel),
    TEXT("initrd", struct config, initrd),
    TEXT("command_line", struct config, command_line),
    TEXT("command_line_append", struct config, command_line_append),
    ENUM("on_reset", on_reset, reset_names),
    ENUM("on_crash", on_crash, crash_names),
    BOOL("halt_exits", struct config, halt_exits),
    BOOL("rng", struct config, rng),
    BOOL("own_chips", struct config, own_chips),
};
static const struct config_object guest_object = KEYS(guest_keys);

static const struct config_key console_keys[] = {
    ENUM("kind", console, console_names),
    TEXT("backend", struct config, console_backend),
};
static const struct config_object console_object = KEYS(console_keys);

static const struct config_key serial_keys[] = {
    TEXT("backend", struct config, serial_backend),
};
static const struct config_object serial_object = KEYS(serial_keys);

static const struct config_key tpm_keys[] = {
    BOOL("enabled", struct config, tpm_enabled),
    TEXT("state", struct config, tpm_state),
};
static const struct config_object tpm_object = KEYS(tpm_keys);

static const struct config_key state_keys[] = {
    {.name = "path",
     .type = CONFIG_TEXT,
     .off = offsetof(struct config, state_path),
     .size = sizeof(((struct config *)0)->state_path),
     .host_folder = "/dev/"},
    TEXT("nvme_serial", struct config, state_nvme_serial),
    BOOL("format", struct config, state_format),
    {.name = "key",
     .type = CONFIG_HEX,
     .off = offsetof(struct config, state_key),
     .size = CONFIG_KEY_BYTES,
     .count_off = offsetof(struct config, state_key_bytes)},
};
static const struct config_object state_object = KEYS(state_keys);

static const struct config_key secure_boot_keys[] = {
    BOOL("enabled", struct config, secure_boot),
    TEXT("template", struct config, secure_boot_template),
    {.name = "keys",
     .type = CONFIG_TEXT,
     .off = offsetof(struct config, secure_boot_keys),
     .size = sizeof(((struct config *)0)->secure_boot_keys),
     .host_folder = "/dev/"},
};
static const struct config_object secure_boot_object = KEYS(secure_boot_keys);

static const struct config_key disk_keys[] = {
    // A file of VTL2's own is nothing that a host may hand to the guest: the vTPM's state is one.
    {.name = "path",
     .type = CONFIG_TEXT,
     .off = offsetof(struct config_disk, path),
     .size = sizeof(((struct config_disk *)0)->path),
     .host_folder = "/dev/"},
    TEXT("nvme_serial", struct config_disk, nvme_serial),
    TEXT("serial", struct config_disk, serial),
    BOOL("read_only", struct config_disk, read_only),
    BOOL("buffered", struct config_disk, buffered),
};
static const struct config_object disk_object = KEYS(disk_keys);

static const struct config_key root_keys[] = {
    ENUM("log_level", log_level, level_names),
    OBJECT("guest", guest_object),
    OBJECT("console", console_object),
    OBJECT("serial", serial_object),
    OBJECT("tpm", tpm_object),
    OBJECT("guest_state", state_object),
    OBJECT("secure_boot", secure_boot_object),
    {.name = "disks",
     .type = CONFIG_ARRAY,
     .off = offsetof(struct config, disks),
     .size = sizeof(struct config_disk),
     .max = CONFIG_MAX_DISKS,
     .count_off = offsetof(struct config, disk_count),
     .object = &disk_object},
    {.name = "host_may_set",
     .type = CONFIG_TEXTS,
     .off = offsetof(struct config, host_paths),
     .size = sizeof(((struct config *)0)->host_paths[0]),
     .max = CONFIG_MAX_HOST_PATHS,
     .count_off = offsetof(struct config, host_path_count)},
};
const struct config_object config_root = KEYS(root_keys);

void config_defaults(struct config *config) {
    memset(config, 0, sizeof(*config));
    config->log_level = LOG_INFO;
    config->on_reset = CONFIG_RESET_RESTART;
    config->on_crash = CONFIG_CRASH_STOP;
    config->halt_exits = true;
    config->rng = true;
    config->console = CONFIG_CONSOLE_VIRTIO;
    config->state_format = true;
    config->secure_boot = true;
    snprintf(config->secure_boot_template, sizeof(config->secure_boot_template), "microsoft");
    snprintf(config->console_backend, sizeof(config->console_backend), "/dev/hvc0");
    snprintf(config->serial_backend, sizeof(config->serial_backend), "null");
    snprintf(config->command_line, sizeof(config->command_line), "console=hvc0 quiet");
    snprintf(config->tpm_state, sizeof(config->tpm_state), "/var/lib/vtpm.state");
}
