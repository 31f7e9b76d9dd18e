// SPDX-License-Identifier: MIT
//
// The physical local APIC (Intel SDM vol. 3, 11.6.1; APM vol. 2, 16.5), of which minihost uses the
// interrupt command register only. VTL2 may have been stopped between its two writes to it, so the
// high half is put back. Its registers are memory: VTL2 is not given x2APIC mode (vsm/msr.c).

#include "tools/minihost/svm/svm.h"

#define APIC_GPA       0xfee00000u
#define APIC_ID        0x020u
#define APIC_SVR       0x0f0u
#define APIC_ICR_LOW   0x300u
#define APIC_ICR_HIGH  0x310u
#define APIC_ICR_BUSY  (1u << 12)
#define APIC_ID_SHIFT  24u
#define APIC_MAX_POLLS 1000000u

#define APIC_SVR_DISABLE 0xffu // the spurious vector, and no more

static volatile uint32_t *apic_register(uint32_t offset) {
    return (volatile uint32_t *)(uintptr_t)(APIC_GPA + offset);
}

uint32_t svm_apic_id(void) {
    return *apic_register(APIC_ID) >> APIC_ID_SHIFT;
}

void svm_apic_disable(void) {
    *apic_register(APIC_SVR) = APIC_SVR_DISABLE;
}

static void wait_idle(void) {
    for (uint32_t i = 0; i < APIC_MAX_POLLS; i++) {
        if ((*apic_register(APIC_ICR_LOW) & APIC_ICR_BUSY) == 0) {
            return;
        }
    }
}

void svm_apic_send(uint32_t apic_id, uint32_t command) {
    uint32_t high = *apic_register(APIC_ICR_HIGH);

    wait_idle();
    *apic_register(APIC_ICR_HIGH) = apic_id << APIC_ID_SHIFT;
    *apic_register(APIC_ICR_LOW) = command;
    wait_idle();
    *apic_register(APIC_ICR_HIGH) = high;
}

void svm_apic_send_nmi(uint32_t apic_id) {
    svm_apic_send(apic_id, SVM_APIC_NMI);
}
