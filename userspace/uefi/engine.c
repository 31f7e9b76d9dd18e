// SPDX-License-Identifier: MIT
//
// The variable service's messages (uefi.h): who gets one, the phases of a start, variable policy.

#include "userspace/uefi/engine.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <stdlib.h>

// Commands of EDK II's variable policy protocol.
#define POLICY_SIGNATURE  0x43504356u ///< "VCPC"
#define POLICY_REVISION   1u
#define POLICY_IS_ENABLED 2u
#define POLICY_REGISTER   3u
#define POLICY_LOCK       5u

// ---- life ----

int uefi_engine_init(struct uefi_engine *engine, const struct uefi_engine_config *config,
                     const uint8_t *image, size_t image_bytes, struct uefi_store_report *report) {
    int r = 0;

    *engine = (struct uefi_engine){.config = *config};
    *report = (struct uefi_store_report){0};
    engine->scratch = malloc(UEFI_STORE_IMAGE_MAX_BYTES);
    if (engine->scratch == NULL) {
        return -ENOMEM;
    }
    if (image_bytes != 0) {
        r = uefi_store_load(&engine->store, image, image_bytes, report);
    }
    if (r == 0) {
        r = uefi_engine_reset(engine);
    }
    if (r != 0) {
        uefi_engine_free(engine);
    }
    return r;
}

void uefi_engine_free(struct uefi_engine *engine) {
    uefi_store_clear(&engine->store);
    uefi_policy_clear(&engine->policy);
    free(engine->scratch);
    engine->scratch = NULL;
}

int uefi_engine_reset(struct uefi_engine *engine) {
    struct uefi_variable *v = engine->store.first;

    while (v != NULL) {
        struct uefi_variable *next = v->next;

        if (!(v->attributes & UEFI_ATTR_NON_VOLATILE)) {
            uefi_store_replace(&engine->store, v, NULL);
            uefi_variable_free(v);
        }
        v = next;
    }
    uefi_policy_clear(&engine->policy);
    engine->end_of_dxe = false;
    engine->ready_to_boot = false;
    engine->exit_boot_services = false;
    return uefi_state_apply(engine, true);
}

int uefi_engine_save(struct uefi_engine *engine) {
    size_t size_bytes;
    int r;

    if (engine->config.persist.save == NULL) {
        return 0;
    }
    r = uefi_store_save(&engine->store, engine->scratch, UEFI_STORE_IMAGE_MAX_BYTES, &size_bytes);
    if (r == 0) {
        r = engine->config.persist.save(engine->config.persist.ctx, engine->scratch, size_bytes);
    }
    engine->counters.saves++;
    engine->counters.failed_saves += r != 0;
    return r;
}

int uefi_engine_preset(struct uefi_engine *engine, const struct uefi_guid *guid,
                       struct uefi_bytes name, uint32_t attributes, struct uefi_bytes value,
                       const uint8_t time[UEFI_TIME_BYTES]) {
    struct uefi_variable *old, *v;

    if (name.size_bytes == 0 || name.size_bytes % 2 != 0 ||
        name.size_bytes > UEFI_STORE_NAME_MAX_BYTES || value.size_bytes == 0 ||
        value.size_bytes > UEFI_STORE_VALUE_MAX_BYTES ||
        uefi_store_refuses(guid, name, attributes) != NULL) {
        return -EINVAL;
    }
    old = uefi_store_find(&engine->store, guid, name);
    if (!uefi_store_has_room(&engine->store, uefi_class_of(guid, name, attributes), false, NULL,
                             uefi_variable_cost(name.size_bytes, value.size_bytes))) {
        return -ENOSPC;
    }
    v = uefi_variable_new(guid, name, attributes, value, time, NULL);
    if (v == NULL) {
        return -ENOMEM;
    }
    uefi_store_replace(&engine->store, old, v);
    uefi_variable_free(old);
    return uefi_state_apply(engine, false);
}

// ---- phases ----

/// A phase never goes back before the next reset, and a later one implies those before.
static void enter(struct uefi_engine *e, enum uefi_mm_service phase) {
    e->end_of_dxe = true;
    e->policy.locked = true; // as EDK II's own service does: what comes later is not the platform's
    if (phase == UEFI_MM_READY_TO_BOOT || phase == UEFI_MM_EXIT_BOOT_SERVICES) {
        e->ready_to_boot = true;
    }
    if (phase == UEFI_MM_EXIT_BOOT_SERVICES) {
        e->exit_boot_services = true;
    }
}

// ---- messages ----

/// Firmware's older way to lock a variable (EDK II, VariableLock.h).
static enum uefi_status call_lock(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes) {
    struct uefi_mm_name n;
    enum uefi_status status = uefi_mm_name_parse(bytes, size_bytes, &n);

    if (status != UEFI_SUCCESS) {
        return status;
    }
    if (e->end_of_dxe) {
        return UEFI_ACCESS_DENIED;
    }
    if (n.name.size_bytes == 0 || n.name.size_bytes > UEFI_STORE_NAME_MAX_BYTES) {
        return UEFI_INVALID_PARAMETER;
    }
    return uefi_policy_register(&e->policy, &(struct uefi_policy_entry){
                                                .guid = n.guid,
                                                .name = n.name,
                                                .max_bytes = UINT32_MAX,
                                                .lock = UEFI_POLICY_LOCK_NOW,
                                            });
}

static enum uefi_status call_payload_size(uint8_t *bytes, size_t size_bytes,
                                          size_t message_room_bytes) {
    if (size_bytes < 8) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    store_le64(bytes, message_room_bytes - UEFI_MM_HEADER_BYTES - UEFI_MM_FUNCTION_BYTES);
    return UEFI_SUCCESS;
}

static void call_variable(struct uefi_engine *e, const struct uefi_mm *mm, size_t room_bytes) {
    uint8_t *bytes = mm->payload + UEFI_MM_FUNCTION_BYTES;
    size_t size_bytes = mm->payload_bytes - UEFI_MM_FUNCTION_BYTES;
    enum uefi_status status = UEFI_SUCCESS;

    switch (load_le64(mm->payload)) {
    case UEFI_MM_GET:
        status = uefi_call_get(e, bytes, size_bytes);
        break;
    case UEFI_MM_GET_NEXT:
        status = uefi_call_get_next(e, bytes, size_bytes);
        break;
    case UEFI_MM_SET:
        status = uefi_call_set(e, bytes, size_bytes);
        break;
    case UEFI_MM_QUERY_INFO:
        status = uefi_call_query_info(e, bytes, size_bytes);
        break;
    case UEFI_MM_FN_READY_TO_BOOT:
        enter(e, UEFI_MM_READY_TO_BOOT);
        break;
    case UEFI_MM_FN_EXIT_BOOT_SERVICE:
        enter(e, UEFI_MM_EXIT_BOOT_SERVICES);
        break;
    case UEFI_MM_LOCK:
        status = call_lock(e, bytes, size_bytes);
        break;
    case UEFI_MM_PAYLOAD_SIZE:
        status = call_payload_size(bytes, size_bytes, room_bytes);
        break;
    default: // statistics, variable check and the runtime cache: firmware does without
        status = UEFI_UNSUPPORTED;
        break;
    }
    store_le64(mm->payload + 8, uefi_status_wire(status));
}

static void call_policy(struct uefi_engine *e, const struct uefi_mm *mm) {
    uint8_t *bytes = mm->payload + UEFI_MM_POLICY_BYTES;
    size_t size_bytes = mm->payload_bytes - UEFI_MM_POLICY_BYTES;
    struct uefi_policy_entry entry;
    enum uefi_status status;

    if (load_le32(mm->payload) != POLICY_SIGNATURE ||
        load_le32(mm->payload + 4) != POLICY_REVISION) {
        status = UEFI_INVALID_PARAMETER;
    } else {
        switch (load_le32(mm->payload + 8)) {
        case POLICY_IS_ENABLED:
            status = size_bytes < 1 ? UEFI_BAD_BUFFER_SIZE : UEFI_SUCCESS;
            if (status == UEFI_SUCCESS) {
                bytes[0] = 1;
            }
            break;
        case POLICY_REGISTER:
            status = uefi_policy_parse(bytes, size_bytes, &entry);
            if (status == UEFI_SUCCESS) {
                status = uefi_policy_register(&e->policy, &entry);
            }
            break;
        case POLICY_LOCK:
            status = e->policy.locked ? UEFI_WRITE_PROTECTED : UEFI_SUCCESS;
            e->policy.locked = true;
            break;
        default: // disable (never), dump, info
            status = UEFI_UNSUPPORTED;
            break;
        }
    }
    store_le64(mm->payload + UEFI_MM_POLICY_RESULT, uefi_status_wire(status));
}

int uefi_engine_handle(struct uefi_engine *engine, uint8_t *message, size_t size_bytes) {
    struct uefi_mm mm;
    int r = uefi_mm_parse(message, size_bytes, &mm);

    engine->counters.messages++;
    if (r != 0) {
        return r;
    }
    if (mm.service == UEFI_MM_VARIABLE) {
        call_variable(engine, &mm, size_bytes);
    } else if (mm.service == UEFI_MM_POLICY) {
        call_policy(engine, &mm);
    } else {
        enter(engine, mm.service);
    }
    return 0;
}
