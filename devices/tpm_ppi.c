// SPDX-License-Identifier: MIT
//
// A kilobyte of memory that survives the guest's resets, and that is all: a request is meant for
// the firmware that runs after one. Power-on state is the machine's, not a guest's.
#include "devices/tpm_ppi.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"

#include <string.h>

#define CONFIG_TPM_2    2u
#define CONFIG_PPI_1_30 1u

static const struct state_field fields[] = {
    STATE_BYTE_ARRAY(1, struct tpm_ppi_state, bytes, TPM_PPI_BYTES, GUEST),
};

static const struct state_table table = {
    .name = "tpm-ppi",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct tpm_ppi_state),
    .fields = fields,
};

static enum bus_result access_bytes(void *self, struct bus_access *access) {
    struct tpm_ppi *ppi = self;
    uint8_t *at = ppi->state.bytes + access->offset; // the bus has bounded offset and size

    access->value = access->is_write ? access->value : 0;
    for (unsigned i = 0; i < access->size; i++) {
        if (access->is_write) {
            at[i] = (uint8_t)(access->value >> (8 * i));
        } else {
            access->value |= (uint64_t)at[i] << (8 * i);
        }
    }
    return BUS_OK;
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    (void)self; // see above
    done(ctx);
}

static const struct device_ops ops = {.state = &table, .reset = reset};

int tpm_ppi_init(struct tpm_ppi *ppi, struct bus *mmio) {
    struct bus_region region = {.start = TPM_PPI_GPA,
                                .size_bytes = TPM_PPI_BYTES,
                                .fn = access_bytes,
                                .self = ppi,
                                .lock = &ppi->device.lock,
                                .name = "tpm-ppi"};

    memset(ppi, 0, sizeof(*ppi));
    device_init(&ppi->device, "tpm-ppi", &ops, ppi, &ppi->state);
    return bus_add(mmio, &region);
}

void tpm_ppi_config(uint8_t out[static TPM_PPI_CONFIG_BYTES]) {
    store_le32(out, (uint32_t)TPM_PPI_GPA);
    out[4] = CONFIG_TPM_2;
    out[5] = CONFIG_PPI_1_30;
}
