// SPDX-License-Identifier: MIT
//
// PIIX3's ISA bridge and PIIX4's power management function (Intel 82371SB, 82371AB datasheets):
// registers that hold what firmware writes, and nothing behind them. The interrupt routing of
// PIRQA to PIRQD is fixed by the machine (ACPI's _PRT), the ACPI block's address as well
// (devices/acpi_pm.h): firmware and ACPI name the one that is there.
#include "devices/piix.h"

#include "devices/acpi_pm.h"
#include "igvm/base/bytes.h"

#include <string.h>

#define CLASS_ISA_BRIDGE   0x060100u
#define CLASS_OTHER_BRIDGE 0x068000u

#define ISA_COMMAND   0x0007u ///< decodes ports and memory, masters the bus: hardwired
#define PIRQ_OFF      0x60u   ///< PIRQRC[A:D], a byte each: bit 7 off, bits 0 to 3 the IRQ
#define PIRQ_COUNT    4u
#define PIRQ_WRITABLE 0x8Fu
#define PIRQ_OFF_BIT  0x80u

#define PM_BASE_FIXED   0x01u ///< an I/O address
#define PM_MISC_ENABLED 0x01u

int piix_init(struct piix *piix, struct pci_root *root, unsigned slot) {
    static const struct pci_identity isa = {
        .vendor_id = 0x8086, .device_id = 0x7000, .class_code = CLASS_ISA_BRIDGE};
    static const struct pci_identity pm = {.vendor_id = 0x8086,
                                           .device_id = 0x7113,
                                           .revision_id = 3,
                                           .class_code = CLASS_OTHER_BRIDGE};
    int result;

    pci_init(&piix->isa, "piix-isa", &isa, NULL, NULL);
    store_le16(piix->isa.template + PCI_COMMAND, ISA_COMMAND);
    store_le16(piix->isa.write_mask + PCI_COMMAND, 0);
    memset(piix->isa.template + PIRQ_OFF, PIRQ_OFF_BIT, PIRQ_COUNT);
    memset(piix->isa.write_mask + PIRQ_OFF, PIRQ_WRITABLE, PIRQ_COUNT);
    memcpy(piix->isa.state.config, piix->isa.template, PCI_CONFIG_BYTES);
    result = pci_attach(root, &piix->isa, slot);
    if (result < 0) {
        return result;
    }
    // The base reads as what firmware would set: nothing else decodes, and nothing moves it.
    pci_init(&piix->pm, "piix-pm", &pm, NULL, NULL);
    store_le32(piix->pm.template + PIIX_PM_BASE_OFF, ACPI_PM_BASE | PM_BASE_FIXED);
    piix->pm.write_mask[PIIX_PM_MISC_OFF] = PM_MISC_ENABLED;
    memcpy(piix->pm.state.config, piix->pm.template, PCI_CONFIG_BYTES);
    return pci_attach_function(root, &piix->pm, slot, PIIX_PM_INDEX);
}
