// SPDX-License-Identifier: MIT
//
// The guest without an operating system as a benchmark: the price of one access that is emulated.

#include "tests/guest/bare/bare.h"
#include "tests/guest/bare/virtio.h"

#define ROUNDS  3u
#define COUNT   20000u
#define SCRATCH 0x3ff ///< COM1's scratch register

/// Best of the rounds: TSC ticks of one access.
#define BEST_OF(access)                                                                            \
    ({                                                                                             \
        uint64_t best_ = ~0ull;                                                                    \
        for (unsigned round_ = 0; round_ < ROUNDS; round_++) {                                     \
            uint64_t start_ = ticks();                                                             \
            for (unsigned i_ = 0; i_ < COUNT; i_++) {                                              \
                access;                                                                            \
            }                                                                                      \
            uint64_t each_ = (ticks() - start_) / COUNT;                                           \
            best_ = each_ < best_ ? each_ : best_;                                                 \
        }                                                                                          \
        best_;                                                                                     \
    })

/// An IN from COM1's scratch register, a MOV from a register of virtio-rng's:
/// device_feature_select, which does nothing when it is read.
void bare_bench(void) {
    struct virtio_device device = {0};
    uint64_t port = BEST_OF(in8(SCRATCH));

    SAY("value port-access # ticks", port);
    if (!virtio_find(&device, VIRTIO_RNG) || device.common == 0) {
        SAY("fail bench no virtio-rng");
        return;
    }
    uint64_t mmio = BEST_OF((void)*at32(device.common));
    SAY("value mmio-access # ticks", mmio);
}
