// SPDX-License-Identifier: MIT
//
// A firmware for tests: makes the messages of the variable service as EDK II's driver does, and
// wrong ones that it never would.
#pragma once

#include "userspace/uefi/uefi.h"

struct uefi_vars_backend;

/// One message at a time, and who answers it.
struct uefi_client {
    int (*call)(void *ctx, uint8_t *message, size_t size_bytes); ///< 0 or -errno
    void *ctx;
    int transport; ///< what the last call gave
    uint8_t message[UEFI_MESSAGE_MAX_BYTES];
    // of the last get and next
    uint32_t attributes;
    uint64_t size_bytes;
    const uint8_t *value;  ///< into message
    char name[64];         ///< of the last next, ASCII
    struct uefi_guid guid; ///< of the last next
};

#define UEFI_NO_ANSWER UINT64_MAX

/// Answers by an engine.
void uefi_client_init(struct uefi_client *client, struct uefi_engine *engine);
/// Answers by what the variable device would ask.
void uefi_client_init_backend(struct uefi_client *client, struct uefi_vars_backend *backend);

extern const struct uefi_guid uefi_test_guid;   ///< a namespace of nobody
extern const struct uefi_guid uefi_test_global; ///< EFI_GLOBAL_VARIABLE
extern const struct uefi_guid uefi_test_variable_service, uefi_test_policy_service;
extern const struct uefi_guid uefi_test_end_of_dxe, uefi_test_ready_to_boot,
    uefi_test_exit_boot_services;

/// ASCII to UTF-16LE with NUL; the number of bytes written.
size_t uefi_put_name(uint8_t *out, const char *name);

/// Begins a message of this service with payload_bytes of zeroes. Returns the payload.
uint8_t *uefi_begin(struct uefi_client *c, const struct uefi_guid *service, size_t payload_bytes);
/// Sends what stands there. The transport's result.
int uefi_send(struct uefi_client *c);

/// A call of the variable service; bytes follow function and status. The EFI status without its
/// error bit, UEFI_NO_ANSWER when the transport failed.
uint64_t uefi_call(struct uefi_client *c, uint64_t function, size_t bytes);

/// Variable services as UEFI 2.10, section 8.2, defines them; the EFI status without its error bit.
uint64_t uefi_set(struct uefi_client *c, const struct uefi_guid *guid, const char *name,
                  uint32_t attributes, const void *value, size_t size_bytes);
uint64_t uefi_get(struct uefi_client *c, const struct uefi_guid *guid, const char *name,
                  size_t room_bytes);
/// Goes on from c->guid and c->name ("": from the start).
uint64_t uefi_next(struct uefi_client *c, size_t room_bytes);
uint64_t uefi_query(struct uefi_client *c, uint32_t attributes, uint64_t out[3]);
uint64_t uefi_lock(struct uefi_client *c, const struct uefi_guid *guid, const char *name);
void uefi_event(struct uefi_client *c, const struct uefi_guid *event);

/// A variable policy; state: NULL, or the state variable's name for lock-on-var-state.
struct uefi_test_policy {
    const struct uefi_guid *guid;
    const char *name; ///< NULL: none
    uint32_t min_bytes, max_bytes, must_have, cant_have;
    uint8_t lock;
    const char *state;
    uint8_t state_value;
};
/// Writes the entry; its size.
size_t uefi_put_policy(uint8_t *out, const struct uefi_test_policy *policy);
/// A command of the policy service with bytes of parameters behind its header already in place.
uint64_t uefi_policy_command(struct uefi_client *c, uint32_t command, size_t bytes);
uint64_t uefi_policy_add(struct uefi_client *c, const struct uefi_test_policy *policy);

/// What the engine saved last.
struct uefi_test_disk {
    uint8_t image[UEFI_STORE_IMAGE_MAX_BYTES];
    size_t size_bytes;
    unsigned saves;
    int fail; ///< what saving gives
};

/// A payload that begins with '+' is authentic, the rest is the value; '-' is an authentic delete;
/// all else is refused. The time's first byte is the value's first, the digest's 0xD1.
enum uefi_status uefi_test_auth_check(const struct uefi_auth_request *request,
                                      struct uefi_auth_result *result);

/// An engine with such authentication, its disk and a client.
struct uefi_fixture {
    struct uefi_engine engine;
    struct uefi_client client;
    struct uefi_test_disk disk;
};

void uefi_fixture_start(struct uefi_fixture *f, bool from_disk);
void uefi_fixture_stop(struct uefi_fixture *f);
