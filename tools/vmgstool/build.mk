# SPDX-License-Identifier: MIT
#
# vmgstool, for the host.
VMGSTOOL_SRC := $(wildcard tools/vmgstool/*.c) $(wildcard userspace/vmgs/*.c) igvm/igvm_error.c igvm/igvm_desc.c \
                $(addprefix userspace/uefi/,auth_names.c siglist.c store.c store_image.c vars_json.c vars_text.c)
VMGSTOOL_OBJ := $(patsubst %.c,$(B)/host/%.o,$(VMGSTOOL_SRC)) $(call vmgs_mbedtls,host) \
                $(B)/host/third/platform_util.o $(B)/host/third/yyjson.o

$(B)/host/vmgstool: $(VMGSTOOL_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^
