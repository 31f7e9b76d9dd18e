// SPDX-License-Identifier: MIT
//
// QEMU's variable device (docs/specs/uefi-vars.rst of QEMU): a command register that is also the
// status, the address and size of a buffer, and a window for guests whose memory is out of the
// device's reach. Reads have no side effect but the window's; a write of any other shape than a
// register's own is dropped.
//
// A message is copied in once; what is checked, handed on and written back is that copy, so a guest
// that changes its buffer meanwhile changes nothing. The lock is held throughout: there is one
// message at a time, and "busy" is never seen.

#include "devices/uefi_vars.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define AREA "uefi-vars"

#define REG_MAGIC       0x00u ///< 16 bits
#define REG_COMMAND     0x02u ///< 16 bits; read: status
#define REG_BUFFER_SIZE 0x04u ///< 32 bits from here on
#define REG_GPA_LOW     0x08u
#define REG_GPA_HIGH    0x0Cu
#define REG_WINDOW      0x10u ///< 8 to 64 bits
#define REG_WINDOW_END  0x18u
#define REG_CRC         0x18u
#define REG_FLAGS       0x1Cu
#define REG_END         0x20u

#define MAGIC            0x0EF1u
#define FLAG_WINDOW_ONLY 1u

enum { COMMAND_RESET = 1, COMMAND_BUFFER = 2, COMMAND_WINDOW = 3, COMMAND_REWIND = 4 };

enum {
    STATUS_OK = 0,
    STATUS_UNKNOWN_ERROR = 0x10,
    STATUS_NOT_SUPPORTED = 0x11,
    STATUS_BAD_SIZE = 0x12,
};

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct uefi_vars_state, status, U16, PUBLIC, 0, 0),
    STATE_SCALAR(2, struct uefi_vars_state, size_bytes, U32, PUBLIC, 0, UEFI_VARS_MAX_BYTES),
    STATE_SCALAR(3, struct uefi_vars_state, buffer_gpa, U64, GUEST, 0, 0),
    STATE_SCALAR(4, struct uefi_vars_state, offset, U32, PUBLIC, 0, UEFI_VARS_MAX_BYTES),
    STATE_BYTE_ARRAY(5, struct uefi_vars_state, window, UEFI_VARS_MAX_BYTES, GUEST),
};
static const struct state_table uefi_vars_table = {
    .name = "uefi-vars",
    .version = 1,
    .field_count = sizeof(fields) / sizeof(fields[0]),
    .struct_bytes = sizeof(struct uefi_vars_state),
    .fields = fields,
};

// ---- messages ----

/// Hands on the message that stands in d->message, rest zeroed. A status.
static uint16_t call(struct uefi_vars *d) {
    int r = -EIO;

    d->calls++;
    if (d->backend != NULL) {
        r = d->backend->call(d->backend, d->message, d->state.size_bytes);
    }
    switch (r) {
    case 0:
        return STATUS_OK;
    case -ENOTSUP:
        return STATUS_NOT_SUPPORTED;
    case -EMSGSIZE:
        return STATUS_BAD_SIZE;
    default:
        d->failures++;
        LOG_LIMITED(LOG_ERROR, AREA, "no answer from the variable service: %s", strerror(-r));
        return STATUS_UNKNOWN_ERROR;
    }
}

/// Size of the message whose header stands in d->message; 0 when it is larger than the buffer.
static uint32_t message_bytes(const struct uefi_vars *d) {
    uint64_t length = load_le64(d->message + 16);

    if (d->state.size_bytes < UEFI_VARS_HEADER_BYTES ||
        length > d->state.size_bytes - UEFI_VARS_HEADER_BYTES) {
        return 0;
    }
    return UEFI_VARS_HEADER_BYTES + (uint32_t)length;
}

static uint16_t call_by_buffer(struct uefi_vars *d) {
    const struct guest_memory *memory = d->memory;
    gpa_t gpa = {d->state.buffer_gpa};
    gpa_t payload = {d->state.buffer_gpa + UEFI_VARS_HEADER_BYTES};
    uint32_t size_bytes;
    uint16_t status;

    if (d->window_only) {
        return STATUS_NOT_SUPPORTED;
    }
    if (d->state.size_bytes < UEFI_VARS_HEADER_BYTES) {
        return STATUS_BAD_SIZE;
    }
    memset(d->message, 0, sizeof(d->message));
    if (guest_read(memory, gpa, d->message, UEFI_VARS_HEADER_BYTES) != 0) {
        return STATUS_UNKNOWN_ERROR;
    }
    size_bytes = message_bytes(d);
    if (size_bytes == 0) {
        return STATUS_BAD_SIZE;
    }
    // The header is never read again; that the rest can be written back is known before the call.
    if (!guest_memory_is_ram(memory, gpa, size_bytes) ||
        guest_read(memory, payload, d->message + UEFI_VARS_HEADER_BYTES,
                   size_bytes - UEFI_VARS_HEADER_BYTES) != 0) {
        return STATUS_UNKNOWN_ERROR;
    }
    status = call(d);
    if (status == STATUS_OK && guest_write(memory, gpa, d->message, size_bytes) != 0) {
        status = STATUS_UNKNOWN_ERROR;
    }
    return status;
}

static uint16_t call_by_window(struct uefi_vars *d) {
    uint32_t size_bytes;
    uint16_t status;

    memcpy(d->message, d->state.window, sizeof(d->message));
    size_bytes = message_bytes(d);
    if (size_bytes == 0) {
        return STATUS_BAD_SIZE;
    }
    memset(d->message + size_bytes, 0, sizeof(d->message) - size_bytes);
    status = call(d);
    if (status == STATUS_OK) {
        memcpy(d->state.window, d->message, size_bytes);
    }
    return status;
}

// ---- registers ----

static void set_size(struct uefi_vars *d, uint32_t size_bytes) {
    d->state.size_bytes = size_bytes < UEFI_VARS_MAX_BYTES ? size_bytes : UEFI_VARS_MAX_BYTES;
    d->state.offset = 0;
    memset(d->state.window, 0, sizeof(d->state.window));
}

static void run_command(struct uefi_vars *d, uint16_t command) {
    uint16_t status = STATUS_OK;

    switch (command) {
    case COMMAND_RESET:
        set_size(d, 0);
        d->state.buffer_gpa = 0;
        break;
    case COMMAND_BUFFER:
    case COMMAND_WINDOW:
        status = command == COMMAND_BUFFER ? call_by_buffer(d) : call_by_window(d);
        memset(d->message, 0, sizeof(d->message)); // values are nobody's business
        break;
    case COMMAND_REWIND:
        d->state.offset = 0;
        break;
    default:
        LOG_LIMITED(LOG_WARN, AREA, "the guest gives command %u", command);
        status = STATUS_NOT_SUPPORTED;
        break;
    }
    d->state.status = status;
}

/// Bytes of the window from its offset on; what lies behind the buffer reads as 0 and is not
/// written. The offset stops at the buffer's end.
static uint64_t move_window(struct uefi_vars *d, bool is_write, uint64_t value, uint8_t size) {
    uint64_t result = 0;

    for (unsigned i = 0; i < size && d->state.offset < d->state.size_bytes; i++) {
        uint8_t *byte = &d->state.window[d->state.offset++];

        if (is_write) {
            *byte = (uint8_t)(value >> 8 * i);
        } else {
            result |= (uint64_t)*byte << 8 * i;
        }
    }
    return result;
}

/// CRC-32C (Castagnoli, reflected), four bits at a time.
static uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    static const uint32_t table[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void write_register(struct uefi_vars *d, const struct bus_access *access) {
    struct uefi_vars_state *s = &d->state;
    uint32_t value = (uint32_t)access->value;

    if (access->offset == REG_WINDOW) {
        move_window(d, true, access->value, access->size);
        return;
    }
    switch (access->offset << 4 | access->size) {
    case REG_COMMAND << 4 | 2:
        run_command(d, (uint16_t)value);
        break;
    case REG_BUFFER_SIZE << 4 | 4:
        set_size(d, value);
        break;
    case REG_GPA_LOW << 4 | 4:
        s->buffer_gpa = (s->buffer_gpa & ~0xFFFFFFFFull) | value;
        break;
    case REG_GPA_HIGH << 4 | 4:
        s->buffer_gpa = (s->buffer_gpa & 0xFFFFFFFFull) | (uint64_t)value << 32;
        break;
    default:
        LOG_LIMITED(LOG_WARN, AREA, "the guest writes %u bytes at %u", access->size,
                    (unsigned)access->offset);
        break;
    }
}

/// The registers as one row of bytes, without the window.
static void show_registers(const struct uefi_vars *d, bool with_crc, uint8_t out[REG_END]) {
    const struct uefi_vars_state *s = &d->state;

    memset(out, 0, REG_END);
    store_le16(out + REG_MAGIC, MAGIC);
    store_le16(out + REG_COMMAND, s->status);
    store_le32(out + REG_BUFFER_SIZE, s->size_bytes);
    store_le64(out + REG_GPA_LOW, s->buffer_gpa);
    store_le32(out + REG_CRC, with_crc ? crc32c(s->window, s->offset) : 0);
    store_le32(out + REG_FLAGS, d->window_only ? FLAG_WINDOW_ONLY : 0);
}

static enum bus_result access_mmio(void *self, struct bus_access *access) {
    struct uefi_vars *d = self;
    uint8_t registers[REG_END];
    uint64_t end = access->offset + access->size;

    if (end > REG_END) {
        return BUS_NOT_MINE;
    }
    if (access->is_write) {
        write_register(d, access);
        return BUS_OK;
    }
    if (access->offset == REG_WINDOW) {
        access->value = move_window(d, false, 0, access->size);
        return BUS_OK;
    }
    show_registers(d, access->offset < REG_CRC + 4 && end > REG_CRC, registers);
    access->value = 0;
    for (unsigned i = 0; i < access->size; i++) {
        access->value |= (uint64_t)registers[access->offset + i] << 8 * i;
    }
    return BUS_OK;
}

// ---- reset, load, set-up ----

/// The variable service starts anew with the machine. One that is gone must not keep the machine
/// from restarting: its messages will fail.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct uefi_vars *d = self;
    int r = d->backend == NULL ? 0 : d->backend->reset(d->backend);

    if (r != 0) {
        log_write(LOG_ERROR, AREA, "the variable service did not restart: %s", strerror(-r));
    }
    state_reset(&uefi_vars_table, &d->state);
    done(ctx);
}

static int after_load(void *self) {
    const struct uefi_vars *d = self;

    return d->state.offset <= d->state.size_bytes ? 0 : -EINVAL;
}

static const struct device_ops uefi_vars_ops = {
    .state = &uefi_vars_table,
    .reset = reset,
    .after_load = after_load,
};

int uefi_vars_init(struct uefi_vars *d, struct uefi_vars_backend *backend,
                   const struct guest_memory *memory, bool window_only, struct bus *mmio) {
    memset(d, 0, sizeof(*d));
    d->backend = backend;
    d->memory = memory;
    d->window_only = window_only;
    device_init(&d->device, "uefi-vars", &uefi_vars_ops, d, &d->state);
    return bus_add(mmio, &(struct bus_region){
                             .start = UEFI_VARS_GPA,
                             .size_bytes = UEFI_VARS_PAGE_BYTES,
                             .fn = access_mmio,
                             .self = d,
                             .lock = &d->device.lock,
                             .name = "uefi-vars",
                         });
}
