// SPDX-License-Identifier: MIT
//
// minihost's partition without a processor (see fake_partition.h).
#include "tests/support/fake_partition.h"

#include "igvm/base/check.h"
#include "tools/minihost/vsm/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_partition *fake;

static uint64_t now_100ns(void) {
    return fake->now_100ns;
}

static void kick(struct vsm_vp *vp) {
    fake->kicks[vp->index]++;
}

static void raise_vtl2(struct vsm_vp *vp, uint8_t vector) {
    fake->raised[vp->index][vector]++;
}

static void *memory(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, size_t size_bytes,
                    bool is_write) {
    uint64_t page = gpa / PAGE_SIZE_4K, off = gpa % PAGE_SIZE_4K;
    uint32_t need = is_write ? HV_MAP_GPA_WRITABLE : HV_MAP_GPA_READABLE;

    CHECK(partition == &fake->partition && vtl < VSM_VTL_COUNT);
    if (size_bytes == 0 || off + size_bytes > PAGE_SIZE_4K || gpa >= FAKE_PARTITION_RAM_BYTES) {
        return NULL;
    }
    if (fake->overlays[vtl][page] != NULL) {
        return (uint8_t *)fake->overlays[vtl][page] + off;
    }
    if (vtl == VSM_GUEST_VTL && (fake->protections[page] & need) == 0) {
        return NULL;
    }
    return fake->ram + gpa;
}

static int protect(struct vsm_partition *partition, uint64_t gpa_page, uint32_t access) {
    (void)partition;
    if (gpa_page >= ARRAY_COUNT(fake->protections)) {
        return -ENOENT;
    }
    fake->protections[gpa_page] = access;
    return 0;
}

static uint32_t protection(struct vsm_partition *partition, uint64_t gpa_page) {
    (void)partition;
    return gpa_page < ARRAY_COUNT(fake->protections) ? fake->protections[gpa_page] : 0;
}

static int overlay(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, void *page) {
    (void)partition;
    CHECK(is_aligned(gpa, PAGE_SIZE_4K));
    if (gpa >= FAKE_PARTITION_RAM_BYTES) {
        return -ENOMEM;
    }
    fake->overlays[vtl][gpa / PAGE_SIZE_4K] = page;
    return 0;
}

static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    for (unsigned i = 0; i < 4; i++) {
        out[i] = fake->cpuid_ones ? UINT32_MAX : leaf * 31 + subleaf * 7 + i;
    }
}

static uint64_t read_tsc(void) {
    return fake->now_100ns * 200; // 2 GHz
}

static uint64_t read_msr(uint32_t index) {
    return fake->msr[index % ARRAY_COUNT(fake->msr)];
}

static void write_msr(uint32_t index, uint64_t value) {
    fake->msr[index % ARRAY_COUNT(fake->msr)] = value;
}

__attribute__((format(printf, 1, 2))) static void log_line(const char *format, ...) {
    size_t used = strlen(fake->log);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(fake->log + used, sizeof(fake->log) - used, format, args);
    va_end(args);
}

static void flush(struct vsm_vp *vp, unsigned vtl) {
    for (uint32_t i = 0; i < vp->partition->vp_count; i++) {
        struct vsm_vp *other = &vp->partition->vps[i];

        if (other != vp && other->active_vtl == vtl) {
            kick(other);
        }
    }
}

static const struct vsm_ops ops = {
    .now_100ns = now_100ns,
    .kick = kick,
    .flush = flush,
    .raise_vtl2 = raise_vtl2,
    .memory = memory,
    .protect = protect,
    .protection = protection,
    .overlay = overlay,
    .cpuid = cpuid,
    .read_tsc = read_tsc,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .log = log_line,
};

/// Zeroed pages, page aligned.
static void *pages(size_t size_bytes) {
    void *p = aligned_alloc(PAGE_SIZE_4K, size_bytes);

    CHECK(p != NULL);
    memset(p, 0, size_bytes);
    return p;
}

struct fake_partition *fake_partition_new(void) {
    CHECK(fake == NULL);
    fake = calloc(1, sizeof(*fake));
    CHECK(fake != NULL);
    fake->ram = pages(FAKE_PARTITION_RAM_BYTES);
    fake->now_100ns = 10000000;
    for (size_t i = 0; i < ARRAY_COUNT(fake->protections); i++) {
        fake->protections[i] = HV_MAP_GPA_PERMISSION_MASK;
    }
    fake->partition = (struct vsm_partition){.ops = &ops,
                                             .vp_count = FAKE_PARTITION_VPS,
                                             .vps = fake->vps,
                                             .tsc_hz = 2000000000,
                                             .apic_hz = 1000000000};
    for (uint32_t i = 0; i < FAKE_PARTITION_VPS; i++) {
        struct vsm_vp *vp = &fake->vps[i];

        vp->apic_id = i;
        vp->physical_apic_id = i + 1;
        for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
            vp->vtl[vtl].vmcb = pages(sizeof(struct svm_vmcb));
            for (unsigned kind = 0; kind < VSM_OVERLAY_KINDS; kind++) {
                vp->vtl[vtl].overlay[kind].page = pages(PAGE_SIZE_4K);
            }
        }
    }
    vsm_init(&fake->partition);
    return fake;
}

void fake_partition_free(struct fake_partition *f) {
    CHECK(f == fake);
    for (uint32_t i = 0; i < FAKE_PARTITION_VPS; i++) {
        for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
            free(f->vps[i].vtl[vtl].vmcb);
            for (unsigned kind = 0; kind < VSM_OVERLAY_KINDS; kind++) {
                free(f->vps[i].vtl[vtl].overlay[kind].page);
            }
        }
    }
    free(f->ram);
    free(f);
    fake = NULL;
}

void fake_partition_enter_vtl0(struct fake_partition *f, unsigned vp, uint64_t rip) {
    struct vsm_vp *v = &f->vps[vp];
    struct svm_save *s = &v->vtl[VSM_GUEST_VTL].vmcb->save;
    struct svm_segment data = {.selector = 0x10, .attributes = 0xC93, .limit = UINT32_MAX};

    CHECK(vsm_write_msr(v, VSM_PARAVISOR, HV_MSR_VP_ASSIST_PAGE,
                        (uint64_t)FAKE_PARTITION_ASSIST_GPA + vp * PAGE_SIZE_4K + 1) == 0);
    v->active_vtl = VSM_GUEST_VTL;
    v->vtl[VSM_GUEST_VTL].running = true;
    hv_lapic_set_activity(&v->vtl[VSM_GUEST_VTL].lapic, HV_VP_RUNNING);
    s->cr0 = 0x11;
    s->es = s->ss = s->ds = s->fs = s->gs = data;
    s->cs = data;
    s->cs.selector = 0x08;
    s->cs.attributes = 0xC9B;
    s->rip = rip;
    s->rflags = 0x202;
    v->gpr[VSM_RSP] = 0x8000;
}

void fake_partition_code(struct fake_partition *f, unsigned vp, uint64_t rip, const void *code,
                         size_t size_bytes) {
    CHECK(rip < FAKE_PARTITION_RAM_BYTES && size_bytes <= FAKE_PARTITION_RAM_BYTES - rip);
    memcpy(f->ram + rip, code, size_bytes);
    f->vps[vp].vtl[VSM_GUEST_VTL].vmcb->save.rip = rip;
}

enum vsm_next fake_partition_exit(struct fake_partition *f, unsigned vp, uint64_t code,
                                  uint64_t info_1, uint64_t info_2) {
    struct svm_control *c = &f->vps[vp].vtl[f->vps[vp].active_vtl].vmcb->control;

    c->exit_code = code;
    c->exit_info_1 = info_1;
    c->exit_info_2 = info_2;
    c->exit_int_info = 0;
    // VTL0 leaves CR8 as its last entry set it.
    c->int_ctl = (c->int_ctl & ~SVM_INT_V_TPR_MASK) | hv_lapic_cr8(&f->vps[vp].vtl[0].lapic);
    return vsm_handle_exit(&f->vps[vp]);
}
