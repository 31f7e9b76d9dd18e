// SPDX-License-Identifier: MIT
//
// Fuzz target: variables as JSON. What is read can be written, and reads back as the same store.
#include "userspace/uefi/vars_json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct uefi_store store = {.first = NULL}, back = {.first = NULL};
    struct uefi_json_error error;
    char *text, *again;
    size_t text_bytes, again_bytes;

    if (uefi_json_read(&store, (const char *)data, size, &error) != 0) {
        require(error.why != NULL && store.first == NULL);
        return 0;
    }
    text = uefi_json_write(&store, &text_bytes);
    require(text != NULL && uefi_json_read(&back, text, text_bytes, &error) == 0);
    again = uefi_json_write(&back, &again_bytes);
    require(again != NULL && again_bytes == text_bytes && memcmp(text, again, text_bytes) == 0);
    for (const struct uefi_variable *v = store.first; v != NULL; v = v->next) {
        char name[4 * UEFI_STORE_NAME_MAX_BYTES];

        require(uefi_name_to_utf8(v->name, name, sizeof(name)));
    }
    free(text);
    free(again);
    uefi_store_clear(&store);
    uefi_store_clear(&back);
    return 0;
}
