# SPDX-License-Identifier: MIT
#
# minihost (build/bare/minihost). Rules and flags for freestanding objects are loader/build.mk's.

# svm/ is not pure, but for its nested page tables.
MINIHOST_PURE_SRC := tools/minihost/machine.c tools/minihost/place.c tools/minihost/host_dt.c \
    tools/minihost/cmos_time.c \
    tools/minihost/svm/npt.c $(wildcard tools/minihost/vsm/*.c)
MINIHOST_SVM_SRC := $(filter-out $(MINIHOST_PURE_SRC),$(wildcard tools/minihost/svm/*.c)) \
    $(wildcard tools/minihost/svm/*.S)
# Pure parts of the product's own: interrupt controllers, timers, the instruction emulator.
MINIHOST_VTL2_SRC := $(wildcard vtl2/hv/*.c vtl2/emulator/*.c)
MINIHOST_SRC := tools/minihost/pvh.S tools/minihost/enter_vp.S tools/minihost/main.c \
    tools/minihost/console.c tools/minihost/fw_cfg.c tools/minihost/native.c \
    tools/minihost/cmos.c tools/minihost/hpet.c tools/minihost/enter.c tools/minihost/load.c tools/minihost/move.c \
    $(MINIHOST_SVM_SRC) $(MINIHOST_VTL2_SRC) $(MINIHOST_PURE_SRC) $(BARE_COMMON_SRC) \
    $(filter-out igvm/igvm_write.c,$(wildcard igvm/*.c))
MINIHOST_OBJ := $(patsubst %,$(B)/bare/%.o,$(basename $(MINIHOST_SRC))) $(BARE_FDT_OBJ) \
    $(B)/bare/third/zydis.o

TEST_EXTRA_SRC += $(MINIHOST_PURE_SRC)

# Zydis has no C library here but loader/bare/string.c. Its encoder and formatter stay out.
MINIHOST_ZYDIS_FLAGS := -isystem $(DEPS_SRC)/zydis/include -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD \
    -DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_ENCODER
$(B)/bare/vtl2/% $(B)/bare/tools/minihost/vsm/%: BARE_CFLAGS += $(MINIHOST_ZYDIS_FLAGS)
$(B)/bare/third/zydis.o: tools/minihost/build.mk | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out $(WARNINGS),$(BARE_CFLAGS)) -w $(MINIHOST_ZYDIS_FLAGS) \
	    $(ZYDIS_LIBC) -I$(DEPS_SRC)/zydis/src -c $(DEPS_SRC)/zydis/zydis.c -o $@

$(B)/bare/minihost: $(MINIHOST_OBJ) tools/minihost/minihost.lds
	$(call say,LINK,$@)
	$(Q)$(CC) $(BARE_LDFLAGS) -Wl,-T,tools/minihost/minihost.lds -o $@ $(MINIHOST_OBJ)
