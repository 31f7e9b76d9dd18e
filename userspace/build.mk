# SPDX-License-Identifier: MIT
#
# The guest state file (vmgs/) and the little of Mbed TLS that it needs. The product takes that from
# build/deps' library; host, test and fuzz builds compile four files with a configuration of their
# own, so the one file that includes Mbed TLS's headers must see the same configuration.

LIB_SRC += $(wildcard userspace/vmgs/*.c) $(wildcard userspace/uefi/*.c)

VMGS_MBEDTLS     := gcm aes aesni block_cipher constant_time
VMGS_MBEDTLS_CFG := -DMBEDTLS_CONFIG_FILE='"userspace/vmgs/mbedtls_config.h"'
vmgs_mbedtls      = $(patsubst %,$(B)/$(1)/third/vmgs_%.o,$(VMGS_MBEDTLS))

$(B)/test/userspace/vmgs/vmgs_crypto.o: TEST_CFLAGS += $(VMGS_MBEDTLS_CFG)
$(B)/fuzz/userspace/vmgs/vmgs_crypto.o: FUZZ_CFLAGS += $(VMGS_MBEDTLS_CFG)
$(B)/host/userspace/vmgs/vmgs_crypto.o: HOST_CFLAGS += $(VMGS_MBEDTLS_CFG)

define vmgs_mbedtls_rule
$(B)/$(1)/third/vmgs_%.o: userspace/vmgs/mbedtls_config.h | $(DEPS_STAMP)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -O2 -g -w -I. -I$(DEPS_SRC)/mbedtls/include -I$(DEPS_SRC)/mbedtls/library $(VMGS_MBEDTLS_CFG) \
	    -c $(DEPS_SRC)/mbedtls/library/$$*.c -o $$@
endef
$(foreach kind,test fuzz host,$(eval $(call vmgs_mbedtls_rule,$(kind))))

# The recipes that take all their prerequisites stand in the Makefile.
$(B)/test/libparapet.a: $(call vmgs_mbedtls,test)
$(B)/fuzz/libparapet.a: $(call vmgs_mbedtls,fuzz)
