# SPDX-License-Identifier: MIT
#
# Hyper-V's trust levels (vsm/), interrupt controllers and timers (hv/), the instruction emulator and
# the decoder it leans on (Zydis, one source file in build/deps).

LIB_SRC += $(filter-out $(LIB_SRC),$(wildcard vtl2/emulator/*.c vtl2/hv/*.c vtl2/vsm/*.c))
COMMON  += -isystem $(DEPS_SRC)/zydis/include

# Zydis needs nothing of a C library but memset and memcpy: one rule serves the product, tests and
# fuzzers. Its own memset writes bytes and was two thirds of all instructions of an emulated access.
ZYDIS_LIBC := -DZYAN_CUSTOM_LIBC -DZYAN_MEMSET=__builtin_memset -DZYAN_MEMCPY=__builtin_memcpy
$(B)/%/third/zydis.o: vtl2/build.mk | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -w $(ZYDIS_LIBC) -I$(DEPS_SRC)/zydis/include -I$(DEPS_SRC)/zydis/src -c $(DEPS_SRC)/zydis/zydis.c -o $@

# The recipes that take all their prerequisites stand in the Makefile.
$(B)/test/libparapet.a: $(B)/test/third/zydis.o
$(B)/fuzz/libparapet.a: $(B)/fuzz/third/zydis.o
$(B)/vtl2/parapet.debug: $(B)/vtl2/third/zydis.o
