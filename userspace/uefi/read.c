// SPDX-License-Identifier: MIT
//
// GetVariable, GetNextVariableName and QueryVariableInfo: UEFI specification 2.10, sections 8.2.1,
// 8.2.2 and 8.2.5.

#include "igvm/base/bytes.h"
#include "userspace/uefi/engine.h"

enum uefi_status uefi_call_get(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes) {
    struct uefi_mm_access a;
    const struct uefi_variable *v;
    enum uefi_status status = uefi_mm_access_parse(bytes, size_bytes, &a);

    e->counters.gets++;
    if (status != UEFI_SUCCESS) {
        return status;
    }
    v = uefi_store_find(&e->store, &a.guid, a.name);
    if (v == NULL || !uefi_is_visible(e, v)) {
        return UEFI_NOT_FOUND;
    }
    store_le32(bytes + UEFI_MM_ACCESS_ATTRIBUTES, v->attributes);
    store_le64(bytes + UEFI_MM_ACCESS_DATA_SIZE, v->value.size_bytes);
    if (a.data_bytes < v->value.size_bytes) {
        return UEFI_BUFFER_TOO_SMALL;
    }
    memcpy(a.data, v->value.at, v->value.size_bytes);
    return UEFI_SUCCESS;
}

enum uefi_status uefi_call_get_next(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes) {
    struct uefi_mm_name n;
    const struct uefi_variable *v = e->store.first;
    size_t needed;
    enum uefi_status status = uefi_mm_name_parse(bytes, size_bytes, &n);

    if (status != UEFI_SUCCESS) {
        return status;
    }
    if (n.name.size_bytes != 0) {
        v = uefi_store_find(&e->store, &n.guid, n.name);
        if (v == NULL || !uefi_is_visible(e, v)) {
            return UEFI_INVALID_PARAMETER;
        }
        v = v->next;
    }
    while (v != NULL && !uefi_is_visible(e, v)) {
        v = v->next;
    }
    if (v == NULL) {
        return UEFI_NOT_FOUND;
    }
    needed = v->name.size_bytes + 2;
    store_le64(bytes + UEFI_MM_NAME_SIZE, needed);
    if (n.room_bytes < needed) {
        return UEFI_BUFFER_TOO_SMALL;
    }
    memcpy(bytes, &v->guid, sizeof(v->guid));
    memcpy(n.room, v->name.at, v->name.size_bytes);
    memset(n.room + v->name.size_bytes, 0, 2);
    return UEFI_SUCCESS;
}

enum uefi_status uefi_call_query_info(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes) {
    const uint32_t access = UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME;
    enum uefi_class class;
    uint32_t attributes;
    size_t room;

    if (size_bytes < UEFI_MM_QUERY_INFO_BYTES) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    attributes = load_le32(bytes + 24);
    if (attributes & ~(UEFI_ATTR_STORED_MASK | UEFI_ATTR_APPEND)) {
        return UEFI_UNSUPPORTED;
    }
    if ((attributes & access) == 0 || (attributes & access) == UEFI_ATTR_RUNTIME ||
        ((attributes & UEFI_ATTR_HARDWARE_ERROR) && !(attributes & UEFI_ATTR_NON_VOLATILE)) ||
        (e->exit_boot_services && !(attributes & UEFI_ATTR_RUNTIME))) {
        return UEFI_INVALID_PARAMETER;
    }
    class = attributes & UEFI_ATTR_NON_VOLATILE ? UEFI_CLASS_NV : UEFI_CLASS_VOLATILE;
    room = uefi_store_room(&e->store, class, e->exit_boot_services);
    store_le64(bytes, e->store.used_bytes[class] + room);
    store_le64(bytes + 8, room);
    store_le64(bytes + 16, UEFI_STORE_VALUE_MAX_BYTES);
    return UEFI_SUCCESS;
}
