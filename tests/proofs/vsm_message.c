// SPDX-License-Identifier: MIT
// cbmc-sources: vtl2/vsm/message.c
// cbmc-flags: --unwind 17
//
// Any 256 bytes as an intercept message: no access outside of them, and what is accepted keeps the
// promises of vtl2/vsm/message.h.
#include "vtl2/vsm/message.h"

#include <assert.h>

struct hv_message nondet_message(void);
int main(void);

int main(void) {
    struct hv_message message = nondet_message();
    struct vsm_event event;

    if (vsm_message_decode(&message, &event) == 0) {
        assert(event.length <= 15 && event.cpl <= 3);
        switch (event.kind) {
        case VSM_EVENT_PIO:
            assert(event.pio.size == 1 || event.pio.size == 2 || event.pio.size == 4);
            assert(event.length > 0);
            break;
        case VSM_EVENT_EMULATE:
            assert(event.emulate.insn_bytes <= sizeof(event.emulate.insn));
            assert(event.emulate.access <= HV_INTERCEPT_EXECUTE);
            break;
        case VSM_EVENT_EXCEPTION:
            assert(event.exception.vector <= 31);
            break;
        default:
            assert(event.kind <= VSM_EVENT_IGNORE);
            break;
        }
    }
    return 0;
}
