// SPDX-License-Identifier: MIT
//
// Platform NATIVE: no virtualisation. The file is loaded, and its BSP gets the machine.

#include "loader/bare/panic.h"
#include "tools/minihost/enter.h"
#include "tools/minihost/load.h"
#include "tools/minihost/minihost.h"

static struct igvm_native_vp_context_x64 bsp;

static const char *set_registers(const struct igvm_vp *vp) {
    bsp = vp->native;
    return NULL;
}

static const struct load_platform platform = {
    .type = IGVM_PLATFORM_NATIVE,
    .name = "NATIVE",
    .set_registers = set_registers,
};

_Noreturn void native_run(struct minihost *host) {
    const char *why;

    load_image(host, &platform);
    if (enter_prepare(&bsp, &why) != 0) { // looks at the loaded page tables
        bare_stop("IGVM: VP context of the BSP: %s", why);
    }
    bare_print("entering the BSP at 0x%lx", (unsigned long)bsp.rip);
    enter_vp();
}
