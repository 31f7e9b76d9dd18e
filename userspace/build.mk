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

# ---- UEFI variables ----------------------------------------------------------------------------------
# uefi/crypto/ and what it needs of Mbed TLS, with a configuration of its own, become one object per
# kind of build, the product's too. Mbed TLS's names stay inside of it: other parts use other
# configurations, whose structures differ.

UEFI_MBEDTLS := asn1parse asn1write bignum bignum_core constant_time md oid pk pk_wrap pkparse \
                platform platform_util rsa rsa_alt_helpers sha256 sha512 x509 x509_crt
UEFI_MBEDTLS_FLAGS := -I. -I$(DEPS_SRC)/mbedtls/include -I$(DEPS_SRC)/mbedtls/library \
                      -DMBEDTLS_CONFIG_FILE='"userspace/uefi/crypto/mbedtls_config.h"'

define uefi_crypto_rules # KIND COMPILER FLAGS
$(B)/$(1)/third/uefi/auth_crypto.o: userspace/uefi/crypto/auth_crypto.c | $(DEPS_STAMP) $(GENERATED)
	@mkdir -p $$(@D)
	$$(Q)$(2) $$($(3)) -DMBEDTLS_CONFIG_FILE='"userspace/uefi/crypto/mbedtls_config.h"' -c $$< -o $$@
$(B)/$(1)/third/uefi/%.o: userspace/uefi/crypto/mbedtls_config.h | $(DEPS_STAMP)
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(filter-out $$(WARNINGS),$$($(3))) -w $(UEFI_MBEDTLS_FLAGS) -c $(DEPS_SRC)/mbedtls/library/$$*.c -o $$@
$(B)/$(1)/third/uefi_crypto.o: $(patsubst %,$(B)/$(1)/third/uefi/%.o,auth_crypto $(UEFI_MBEDTLS))
	$$(Q)ld -r -o $$@ $$^
	$$(Q)objcopy -w --localize-symbol='mbedtls_*' $$@
endef
$(eval $(call uefi_crypto_rules,test,$(CC),TEST_CFLAGS))
$(eval $(call uefi_crypto_rules,host,$(CC),HOST_CFLAGS))
$(eval $(call uefi_crypto_rules,fuzz,$(CLANG),FUZZ_CFLAGS))
$(eval $(call uefi_crypto_rules,vtl2,$(MUSL_CC),VTL2_CFLAGS))

$(B)/test/libparapet.a: $(B)/test/third/uefi_crypto.o
$(B)/fuzz/libparapet.a: $(B)/fuzz/third/uefi_crypto.o
$(B)/vtl2/parapet.debug: $(B)/vtl2/third/uefi_crypto.o
