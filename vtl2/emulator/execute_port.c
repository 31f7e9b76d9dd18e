// SPDX-License-Identifier: MIT
//
// IN and OUT. Intel SDM vol. 2; vol. 1 chapter 19.
#include "vtl2/emulator/internal.h"

int emu_execute_port(struct emu_run *run) {
    const struct emu_context *context = run->context;
    bool is_out = run->decoded.mnemonic == ZYDIS_MNEMONIC_OUT;
    uint32_t size_bytes, value = 0;
    uint64_t port, data = 0;
    int rc;

    if (!is_out && run->decoded.mnemonic != ZYDIS_MNEMONIC_IN) {
        return -ENOSYS;
    }
    size_bytes = emu_operand_bytes(run, is_out ? 1 : 0);
    rc = emu_operand_read(run, is_out ? 0 : 1, false, &port);
    if (rc == 0 && is_out) {
        rc = emu_operand_read(run, 1, false, &data);
    }
    if (rc) {
        return rc;
    }
    // An immediate port is 8 bits wide, without sign.
    port &= run->operand[is_out ? 0 : 1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? 0xFF : 0xFFFF;
    rc = emu_check_port(run, (uint16_t)port, size_bytes);
    if (rc) {
        return rc;
    }
    if (is_out) {
        rc = context->ops->pio_write(context->ctx, (uint16_t)port, (uint8_t)size_bytes,
                                     (uint32_t)data);
    } else {
        rc = context->ops->pio_read(context->ctx, (uint16_t)port, (uint8_t)size_bytes, &value);
    }
    if (rc) {
        return rc == -EFAULT ? -EIO : rc;
    }
    return is_out ? 0 : emu_operand_write(run, 0, value);
}
