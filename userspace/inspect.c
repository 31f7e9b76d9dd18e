// SPDX-License-Identifier: MIT
//
// Builds the inspect tree: see inspect.h.
#include "userspace/inspect.h"

#include "userspace/log.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

struct visit {
    yyjson_mut_doc *doc;
    yyjson_mut_val *object;
    yyjson_mut_val *array; ///< of the field that is being visited, for counts above one
};

static const char *const exit_names[MACHINE_EXIT_KINDS] = {
    [VP_EXIT_NONE] = "none",     [VP_EXIT_WAKE] = "wake",         [VP_EXIT_PIO] = "pio",
    [VP_EXIT_MMIO] = "mmio",     [VP_EXIT_MSR] = "msr",           [VP_EXIT_HYPERCALL] = "hypercall",
    [VP_EXIT_HALT] = "halt",     [VP_EXIT_SHUTDOWN] = "shutdown", [VP_EXIT_EOI] = "eoi",
    [VP_EXIT_EXTINT] = "extint", [VP_EXIT_FAILED] = "failed",
};

static void visit_field(void *ctx, const struct state_field *field, uint32_t index, uint64_t value,
                        const uint8_t *bytes) {
    static const char digits[] = "0123456789abcdef";
    struct visit *v = ctx;
    char hex[2 * 64 + 1];
    uint32_t size;

    if (field->type == STATE_BYTES) {
        size = field->count < 64 ? field->count : 64; // the beginning: buffers can be large
        for (uint32_t i = 0; i < size; i++) {
            hex[2 * i] = digits[bytes[i] >> 4];
            hex[2 * i + 1] = digits[bytes[i] & 15];
        }
        yyjson_mut_obj_add_strncpy(v->doc, v->object, field->name, hex, (size_t)size * 2);
    } else if (field->count == 1) {
        yyjson_mut_obj_add_uint(v->doc, v->object, field->name, value);
    } else {
        if (index == 0) {
            v->array = yyjson_mut_obj_add_arr(v->doc, v->object, field->name);
        }
        yyjson_mut_arr_add_uint(v->doc, v->array, value);
    }
}

static void add_devices(struct machine *machine, enum state_sensitivity up_to, yyjson_mut_doc *doc,
                        yyjson_mut_val *root) {
    yyjson_mut_val *devices = yyjson_mut_obj_add_obj(doc, root, "devices");

    for (struct device *d = machine->devices; d; d = d->next) {
        struct visit v = {.doc = doc, .object = yyjson_mut_obj_add_obj(doc, devices, d->name)};

        pthread_mutex_lock(&d->lock);
        if (d->ops->state && d->state) {
            state_inspect(d->ops->state, d->state, up_to, visit_field, &v);
        }
        pthread_mutex_unlock(&d->lock);
    }
}

static void add_vps(const struct machine *machine, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *vps = yyjson_mut_obj_add_arr(doc, root, "vps");

    for (uint32_t i = 0; i < machine->vp_count; i++) {
        const struct machine_vp *vp = &machine->vps[i];
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, vps);
        yyjson_mut_val *exits = yyjson_mut_obj_add_obj(doc, object, "exits");

        for (unsigned kind = 0; kind < MACHINE_EXIT_KINDS; kind++) {
            yyjson_mut_obj_add_uint(doc, exits, exit_names[kind], vp->exits[kind]);
        }
        yyjson_mut_obj_add_uint(doc, object, "unclaimed_pio", vp->unclaimed_pio);
        yyjson_mut_obj_add_uint(doc, object, "unclaimed_mmio", vp->unclaimed_mmio);
        yyjson_mut_obj_add_bool(doc, object, "parked", vp->parked);
        yyjson_mut_obj_add_uint(doc, object, "loop_completions", vp->loop.completions);
        yyjson_mut_obj_add_uint(doc, object, "loop_wakeups", vp->loop.wakeups);
        yyjson_mut_obj_add_uint(doc, object, "loop_in_flight", vp->loop.in_flight);
    }
}

static void add_disks(const struct machine *machine, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *disks = yyjson_mut_obj_add_arr(doc, root, "disks");

    for (uint32_t i = 0; i < machine->config.disk_count; i++) {
        const struct virtio_blk *disk = machine->disks[i];
        struct virtio_blk_queue sum = {0};
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, disks);

        for (uint32_t q = 0; q < disk->virtio.queue_count; q++) {
            sum.read_count += disk->queues[q].read_count;
            sum.write_count += disk->queues[q].write_count;
            sum.flush_count += disk->queues[q].flush_count;
            sum.discard_count += disk->queues[q].discard_count;
            sum.error_count += disk->queues[q].error_count;
            sum.read_bytes += disk->queues[q].read_bytes;
            sum.write_bytes += disk->queues[q].write_bytes;
        }
        yyjson_mut_obj_add_uint(doc, object, "reads", sum.read_count);
        yyjson_mut_obj_add_uint(doc, object, "read_bytes", sum.read_bytes);
        yyjson_mut_obj_add_uint(doc, object, "writes", sum.write_count);
        yyjson_mut_obj_add_uint(doc, object, "write_bytes", sum.write_bytes);
        yyjson_mut_obj_add_uint(doc, object, "flushes", sum.flush_count);
        yyjson_mut_obj_add_uint(doc, object, "discards", sum.discard_count);
        yyjson_mut_obj_add_uint(doc, object, "errors", sum.error_count);
    }
}

static void add_log_line(void *ctx, const char *line) {
    struct visit *v = ctx;

    yyjson_mut_arr_add_strcpy(v->doc, v->array, line);
}

char *inspect_json(struct machine *machine, enum state_sensitivity up_to, size_t *size_bytes) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_val *general;
    struct visit v = {.doc = doc};
    char *text;

    if (doc == NULL) {
        return NULL;
    }
    yyjson_mut_doc_set_root(doc, root);
    general = yyjson_mut_obj_add_obj(doc, root, "machine");
    yyjson_mut_obj_add_str(doc, general, "platform", machine->ops->name);
    yyjson_mut_obj_add_bool(doc, general, "running", machine->running);
    yyjson_mut_obj_add_uint(doc, general, "boots", machine->boot_count);
    add_vps(machine, doc, root);
    add_disks(machine, doc, root);
    add_devices(machine, up_to, doc, root);
    v.array = yyjson_mut_obj_add_arr(doc, root, "log");
    log_for_each(add_log_line, &v);
    text =
        yyjson_mut_write(doc, YYJSON_WRITE_PRETTY | YYJSON_WRITE_ALLOW_INVALID_UNICODE, size_bytes);
    yyjson_mut_doc_free(doc);
    return text;
}
