# SPDX-License-Identifier: MIT
#
# The boot shim (build/bare/shim.elf, shim.bin), and the freestanding rules that minihost uses too.

BARE_CFLAGS := -std=gnu17 $(WARNINGS) -I. -I$(B)/gen -ffile-prefix-map=$(CURDIR)=. -fno-common \
    -ffreestanding -O2 -g -m64 -march=x86-64 -mno-red-zone -mgeneral-regs-only -mcmodel=small \
    -fpie -fvisibility=hidden -fcf-protection=none -fno-asynchronous-unwind-tables \
    -fstack-protector-strong -mstack-protector-guard=global -U_FORTIFY_SOURCE -MMD -MP
# GCC would turn the loops of loader/bare/string.c into calls of themselves.
BARE_CFLAGS += $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)
# Static and position-independent: the program corrects its own pointers (bare/relocate.h).
BARE_LDFLAGS := -nostdlib -static-pie -Wl,--no-dynamic-linker -Wl,-z,text -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
    -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,--fatal-warnings
# Other people's code: no warnings, our configuration.
BARE_FDT_CFLAGS  := $(filter-out $(WARNINGS),$(BARE_CFLAGS)) -w -I$(DEPS_SRC)/libfdt
BARE_SHA_CFLAGS  := $(filter-out $(WARNINGS) -O2,$(BARE_CFLAGS)) -w -O3 -I$(DEPS_SRC)/mbedtls/include \
    -I$(DEPS_SRC)/mbedtls/library -DMBEDTLS_CONFIG_FILE='"loader/mbedtls_config.h"'

BARE_COMMON_SRC := $(wildcard loader/bare/*.c) loader/bare/exceptions.S
BARE_FDT        := fdt fdt_ro fdt_sw fdt_check fdt_strerror
BARE_FDT_OBJ    := $(patsubst %,$(B)/bare/third/%.o,$(BARE_FDT))

SHIM_PURE_SRC := loader/bzimage.c loader/linux_params.c loader/memory_map.c loader/memory_plan.c \
    loader/command_line.c loader/config_check.c loader/host_tree.c loader/out_tree.c
SHIM_SRC      := loader/entry.S loader/shim_main.c loader/console.c loader/verify.c \
    $(SHIM_PURE_SRC) $(BARE_COMMON_SRC)
SHIM_OBJ      := $(patsubst %,$(B)/bare/%.o,$(basename $(SHIM_SRC))) $(BARE_FDT_OBJ) \
    $(B)/bare/third/sha512.o

# What unit tests and fuzzers link beside the library's own loader parts.
TEST_EXTRA_SRC += $(filter-out $(LOADER_PURE),$(SHIM_PURE_SRC)) loader/bare/format.c

$(B)/bare/%.o: %.c loader/build.mk | $(DEPS_STAMP) $(GENERATED)
	@mkdir -p $(@D)
	$(call say,BARE,$<)
	$(Q)$(CC) $(BARE_CFLAGS) -isystem $(DEPS_SRC)/libfdt -isystem $(DEPS_SRC)/mbedtls/include \
	    -DMBEDTLS_CONFIG_FILE='"loader/mbedtls_config.h"' -c $< -o $@
$(B)/bare/%.o: %.S loader/build.mk
	@mkdir -p $(@D)
	$(call say,BARE,$<)
	$(Q)$(CC) $(BARE_CFLAGS) -c $< -o $@
$(BARE_FDT_OBJ): $(B)/bare/third/%.o: loader/build.mk | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BARE_FDT_CFLAGS) -c $(DEPS_SRC)/libfdt/$*.c -o $@
$(B)/bare/third/sha512.o: loader/mbedtls_config.h loader/build.mk | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BARE_SHA_CFLAGS) -c $(DEPS_SRC)/mbedtls/library/sha512.c -o $@

$(B)/bare/shim.elf: $(SHIM_OBJ) loader/shim.lds
	$(call say,LINK,$@)
	$(Q)$(CC) $(BARE_LDFLAGS) -Wl,-T,loader/shim.lds -o $@ $(SHIM_OBJ)
$(B)/bare/shim.bin: $(B)/bare/shim.elf
	$(Q)objcopy -O binary $< $@
