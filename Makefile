# SPDX-License-Identifier: MIT
#
# Parapet: the only entry point. `make help` lists the targets.
#
# Sources are found by wildcard: a new .c file in a room, or a new tests/unit/test_*.c, needs no
# change here. One library is built four ways from igvm/, loader's pure parts, devices/, vtl2/ and
# userspace/:
#   build/vtl2   musl, static: the product          build/test   host, ASan + UBSan: unit tests
#   build/host   host: igvmtool                     build/fuzz   host, clang + libFuzzer
# and loader/ and tools/minihost/ freestanding into build/bare (their own build.mk).

# The user's B=name of `make bench`; here B is the build folder.
BENCH_NAME := $(if $(filter command environment,$(firstword $(origin B))),$(B))
override B := build
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

export PARAPET_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/parapet
export SOURCE_DATE_EPOCH := 1767225600
export LC_ALL := C

CC       ?= gcc
ifeq ($(origin CC),default)
CC       := gcc
endif
CLANG    ?= clang
MUSL_CC  := musl-gcc
V        ?= 0
Q        := $(if $(filter 0,$(V)),@)
say       = @printf '  %-8s %s\n' '$(1)' '$(2)'

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes \
            -Wtype-limits -Wimplicit-fallthrough -Wvla -Wformat=2 -Werror
COMMON   := -std=gnu17 $(WARNINGS) -I. -I$(B)/gen -ffile-prefix-map=$(CURDIR)=. -fno-common \
            -D_GNU_SOURCE -MMD -MP
# GCC guesses at truncation that the callers of snprintf check by its result.
GCC_ONLY := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null | head -n 1)),,-Wno-format-truncation)
DEPS_SRC := $(B)/deps/src
MUSL     := $(B)/deps/musl

# Before */build.mk, whose rules wait for them.
DEPS_STAMP   := $(B)/deps/.stamp
KERNEL_STAMP := $(B)/kernel/.stamp
GUEST_STAMP  := $(B)/guest/.stamp
DEBIAN_STAMP := $(B)/guest/.debian-stamp
FIRMWARE_STAMP := $(B)/firmware/.stamp

# ---- sources -------------------------------------------------------------------------------------
IGVM_SRC   := $(wildcard igvm/*.c)
LOADER_PURE := loader/bzimage.c loader/linux_params.c # the VMM loads kernels too
TEST_EXTRA_SRC := # pure sources that only tests link besides; */build.mk append to it
LIB_SRC    := $(IGVM_SRC) $(LOADER_PURE) $(wildcard devices/*.c vtl2/*.c) \
              $(filter-out userspace/main.c,$(wildcard userspace/*.c))
TOOL_SRC   := $(wildcard tools/igvmtool/*.c)

-include $(wildcard */build.mk) $(wildcard tools/*/build.mk)

# Everything generated that sources include; rules in */build.mk append to it.
GENERATED += $(B)/gen/version.h
GENERATED := $(sort $(GENERATED))

# ---- help ----------------------------------------------------------------------------------------
.PHONY: help
help: ## list the targets
	@echo 'Parapet - a paravisor in C. Targets:'
	@grep -hE '^[a-z-]+:.*## ' Makefile | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo 'Variables: BOOT=uefi|linux PLATFORM=native|vsm SMP=2 MEM=1G DISK=file (run),'
	@echo '           SUITE=unit|device|boot|fuzz|prove|tool T=name (test; NAME@vsm is boot test NAME on vsm),'
	@echo '           B=name (bench), V=1 (show commands), PARAPET_CACHE=dir (downloads and slow builds)'

# ---- what must be there first --------------------------------------------------------------------
.PHONY: setup setup-test deps
setup:
	@tools/build/setup.sh run
setup-test:
	@tools/build/setup.sh run test

# Order: packages, then third-party libraries, the kernel, the guest. Each script caches by content.
$(DEPS_STAMP): tools/build/deps.sh tools/build/fetch.sh | setup
	$(Q)tools/build/deps.sh
	$(Q)touch $@
$(KERNEL_STAMP): kernel/build.sh kernel/parapet.config $(wildcard kernel/patches/*.patch) tools/build/fetch.sh | setup
	$(Q)kernel/build.sh
	$(Q)touch $@
$(GUEST_STAMP): tools/build/guest.sh | setup
	$(Q)tools/build/guest.sh
	$(Q)touch $@
$(DEBIAN_STAMP): tools/build/debian-disk.sh $(shell find tools/build/debian-disk -type f) tools/build/fetch.sh | setup
	$(Q)tools/build/debian-disk.sh
	$(Q)touch $@
$(FIRMWARE_STAMP): tools/build/firmware.sh $(shell find firmware -type f) tools/build/fetch.sh | setup
	$(Q)tools/build/firmware.sh
	$(Q)touch $@
deps: $(DEPS_STAMP) $(KERNEL_STAMP) $(GUEST_STAMP) $(DEBIAN_STAMP) $(FIRMWARE_STAMP) ## fetch and build kernel, firmware, libraries and guests (cached)

$(B)/gen/version.h: Makefile
	@mkdir -p $(@D)
	$(Q)printf '// SPDX-License-Identifier: MIT\n#pragma once\n#define PARAPET_VERSION "%s"\n' '$(VERSION)' > $@
VERSION := 0.1.0

# ---- the product: musl, static -------------------------------------------------------------------
VTL2_CFLAGS := $(COMMON) -Wno-format-truncation -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-pie \
               -ffunction-sections -fdata-sections -Wa,--noexecstack \
               -isystem $(MUSL)/include -isystem $(B)/kernel/include
VTL2_LIBS   := -L$(MUSL)/lib -ltpms -lcrypto -lmbedcrypto -luring -lyyjson
VTL2_OBJ    := $(patsubst %.c,$(B)/vtl2/%.o,$(LIB_SRC) $(wildcard userspace/main.c))

$(B)/vtl2/%.o: %.c | $(DEPS_STAMP) $(KERNEL_STAMP) $(GENERATED)
	@mkdir -p $(@D)
	$(call say,MUSL,$<)
	$(Q)$(MUSL_CC) $(VTL2_CFLAGS) -c $< -o $@
$(B)/vtl2/parapet.debug: $(VTL2_OBJ)
	$(call say,LINK,$@)
	$(Q)$(MUSL_CC) -static -no-pie -Wl,--gc-sections,--build-id=none,-z,noexecstack,-z,relro,-z,now -o $@ $^ $(VTL2_LIBS)
$(B)/vtl2/parapet: $(B)/vtl2/parapet.debug
	$(Q)strip --strip-all -o $@ $<

# ---- host build: tools ---------------------------------------------------------------------------
HOST_CFLAGS := $(COMMON) $(GCC_ONLY) -O2 -g -isystem $(DEPS_SRC)/yyjson/src -isystem $(DEPS_SRC)/mbedtls/include
HOST_OBJ    := $(patsubst %.c,$(B)/host/%.o,$(IGVM_SRC) $(TOOL_SRC)) \
               $(B)/host/third/yyjson.o $(B)/host/third/sha512.o
THIRD_CFLAGS := -O2 -g -w -isystem $(DEPS_SRC)/yyjson/src -isystem $(DEPS_SRC)/mbedtls/include \
                -isystem $(MUSL)/include

$(B)/host/%.o: %.c | $(DEPS_STAMP) $(GENERATED)
	@mkdir -p $(@D)
	$(call say,HOST,$<)
	$(Q)$(CC) $(HOST_CFLAGS) -c $< -o $@
$(B)/%/third/yyjson.o: | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -w -c $(DEPS_SRC)/yyjson/src/yyjson.c -o $@
$(B)/%/third/sha512.o: | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -w -I$(DEPS_SRC)/mbedtls/include -I$(DEPS_SRC)/mbedtls/library -c $(DEPS_SRC)/mbedtls/library/sha512.c -o $@
$(B)/%/third/platform_util.o: | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -w -I$(DEPS_SRC)/mbedtls/include -I$(DEPS_SRC)/mbedtls/library -c $(DEPS_SRC)/mbedtls/library/platform_util.c -o $@
$(B)/host/igvmtool: $(HOST_OBJ) $(B)/host/third/platform_util.o
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^

# ---- the image -----------------------------------------------------------------------------------
.PHONY: image
image: $(B)/parapet.igvm ## build build/parapet.igvm
$(B)/initrd.cpio: $(B)/vtl2/parapet userspace/initrd.list userspace/parapet.json tools/build/mkinitrd.sh $(KERNEL_STAMP)
	$(call say,CPIO,$@)
	$(Q)tools/build/mkinitrd.sh $@
$(B)/guest.cpio: $(GUEST_STAMP) $(wildcard tests/guest/*) | $(DEPS_STAMP)
	$(call say,CPIO,$@)
	$(Q)tests/guest/build.sh $@
$(B)/parapet.igvm: igvm/parapet.image.json $(B)/host/igvmtool $(B)/bare/shim.bin $(B)/initrd.cpio $(B)/guest.cpio $(KERNEL_STAMP) $(GUEST_STAMP) $(FIRMWARE_STAMP)
	$(call say,IGVM,$@)
	$(Q)$(B)/host/igvmtool build $< -o $@

.PHONY: run
run: setup $(B)/parapet.igvm $(B)/bare/minihost $(if $(filter linux,$(BOOT)),,$(DEBIAN_STAMP)) ## boot the image in QEMU: Debian under UEFI Secure Boot on your terminal
	@tools/run.sh

# ---- tests ---------------------------------------------------------------------------------------
SAN         := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TEST_CFLAGS := $(COMMON) $(GCC_ONLY) -O1 -g $(SAN) -DPARAPET_TEST=1 -isystem $(DEPS_SRC)/yyjson/src -isystem $(DEPS_SRC)/mbedtls/include \
               -isystem $(DEPS_SRC)/libfdt
SUPPORT_SRC := $(wildcard tests/support/*.c)
TEST_LIB    := $(B)/test/libparapet.a
TEST_OBJ    := $(patsubst %.c,$(B)/test/%.o,$(LIB_SRC) $(TEST_EXTRA_SRC) $(SUPPORT_SRC) $(filter-out tools/igvmtool/main.c,$(TOOL_SRC))) \
               $(B)/test/third/yyjson.o $(B)/test/third/sha512.o $(B)/test/third/platform_util.o
TEST_LIBS   := -luring -ltpms -lcrypto -lcmocka -lfdt -lpthread
TEST_BIN    := $(patsubst tests/%.c,$(B)/test/%,$(wildcard tests/unit/test_*.c tests/device/test_*.c))

$(B)/test/%.o: %.c | $(DEPS_STAMP) $(GENERATED)
	@mkdir -p $(@D)
	$(call say,ASAN,$<)
	$(Q)$(CC) $(TEST_CFLAGS) -c $< -o $@
$(TEST_LIB): $(TEST_OBJ)
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/test/%: $(B)/test/tests/%.o $(TEST_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -o $@ $< -Wl,--start-group $(TEST_LIB) -Wl,--end-group $(TEST_LIBS)
.PRECIOUS: $(B)/test/%.o $(B)/fuzz/%.o $(B)/vtl2/%.o $(B)/host/%.o
# Generated headers stay: without this make takes them for scratch and makes them again each time.
.SECONDARY: $(GENERATED)

FUZZ_CFLAGS := $(filter-out -MMD -MP,$(COMMON)) -MMD -MP -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
               -DPARAPET_TEST=1 -DPARAPET_FUZZ=1 -isystem $(DEPS_SRC)/yyjson/src -isystem $(DEPS_SRC)/mbedtls/include -isystem $(DEPS_SRC)/libfdt
FUZZ_LIB    := $(B)/fuzz/libparapet.a
FUZZ_OBJ    := $(patsubst %.c,$(B)/fuzz/%.o,$(LIB_SRC) $(TEST_EXTRA_SRC) $(SUPPORT_SRC) $(filter-out tools/igvmtool/main.c,$(TOOL_SRC))) \
               $(B)/fuzz/third/yyjson.o $(B)/fuzz/third/sha512.o $(B)/fuzz/third/platform_util.o
FUZZ_BIN    := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
$(B)/fuzz/%.o: %.c | $(DEPS_STAMP) $(GENERATED)
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -c $< -o $@
$(FUZZ_LIB): $(FUZZ_OBJ)
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_LIB)
	$(call say,LINK,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $< -Wl,--start-group $(FUZZ_LIB) -Wl,--end-group -luring -ltpms -lfdt -lpthread

SUITE ?= all
NEED_unit   := $(filter $(B)/test/unit/%,$(TEST_BIN)) $(filter $(B)/test/device/%,$(TEST_BIN))
NEED_device := $(filter $(B)/test/device/%,$(TEST_BIN))
NEED_fuzz   := $(FUZZ_BIN)
NEED_prove  :=
NEED_tool   := $(B)/host/igvmtool $(B)/host/vmgstool
NEED_boot   := $(B)/parapet.igvm $(B)/bare/minihost $(FIRMWARE_STAMP) $(DEBIAN_STAMP) $(B)/host/vmgstool $(B)/host/uefikeys $(B)/uefi/microsoft.json
NEED_all    := $(NEED_unit) $(NEED_fuzz) $(NEED_tool) $(NEED_boot)

.PHONY: test test-build fuzz prove lint bench clean
test: setup-test ## all tests (SUITE=… for one suite, T=name for one test)
	@$(MAKE) --no-print-directory test-build SUITE=$(SUITE)
	@SUITE='$(SUITE)' T='$(T)' tests/run.sh
test-build: $(NEED_$(SUITE))
fuzz: ## a long fuzzing run of every target (FUZZ_SECONDS=600 each)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(MAKE) --no-print-directory test SUITE=fuzz
prove: ## the CBMC proofs
	@$(MAKE) --no-print-directory test SUITE=prove
lint: setup-test ## format, clang-tidy, cppcheck, self-standing headers, licence lines
	@tests/lint.sh
bench: setup-test $(B)/parapet.igvm $(B)/bare/minihost ## measure; table here and in build/bench.json (B=name for one)
	@B='$(BENCH_NAME)' tests/bench/run.sh
clean: ## remove build/ (the cache stays)
	$(Q)rm -rf $(B)

-include $(shell find $(B) -path $(B)/deps -prune -o -type f -name '*.d' -print 2>/dev/null)
