# SPDX-License-Identifier: MIT
#
# uefikeys, for the host, and Secure Boot's keys that go into the image (build/uefi/*.json):
# microsoft from Debian's packages, with the update of dbx that UEFI_DBX names, custom from the file
# that UEFI_KEYS names.
UEFIKEYS_SRC := $(wildcard tools/uefikeys/*.c) $(addprefix userspace/uefi/,auth.c auth_header.c auth_names.c der.c keys_check.c pkcs7.c \
                siglist.c store.c vars_json.c vars_text.c)
UEFIKEYS_OBJ := $(patsubst %.c,$(B)/host/%.o,$(UEFIKEYS_SRC)) $(B)/host/third/uefi_crypto.o $(B)/host/third/yyjson.o

$(B)/host/uefikeys: $(UEFIKEYS_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^

UEFI_KEYS ?=
UEFI_DBX  ?=
$(B)/uefi/packages/microsoft.json: tools/build/uefi-keys.sh $(B)/host/uefikeys | $(DEPS_STAMP)
	$(call say,KEYS,$@)
	$(Q)tools/build/uefi-keys.sh $@
# Another file named, or none any more: made again.
$(B)/uefi/microsoft.json: $(B)/uefi/packages/microsoft.json $(UEFI_DBX) FORCE
	$(Q)$(B)/host/uefikeys --json $< $(if $(UEFI_DBX),--update-dbx '$(UEFI_DBX)') -o $@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/uefi/custom.json: $(UEFI_KEYS) $(B)/host/uefikeys FORCE | $(DEPS_STAMP)
	@mkdir -p $(@D)
	$(Q)if [ -n '$(UEFI_KEYS)' ]; then $(B)/host/uefikeys --json '$(UEFI_KEYS)' -o $@.new; \
	    else printf '{"version": 2, "variables": []}\n' >$@.new; fi
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
.PHONY: FORCE
FORCE:

$(B)/initrd.cpio: $(B)/uefi/microsoft.json $(B)/uefi/custom.json

test-build: $(B)/host/uefikeys
