# SPDX-License-Identifier: MIT
#
# ACPI: devices/acpi/NAME.asl becomes build/gen/devices/NAME_aml.h, a byte array NAME_aml[]. The AML
# depends on the source and iasl's version only (no dates, no paths).
ACPI_AML := $(patsubst devices/acpi/%.asl,$(B)/gen/devices/%_aml.h,$(wildcard devices/acpi/*.asl))
GENERATED += $(ACPI_AML)

$(B)/gen/devices/%_aml.h: devices/acpi/%.asl devices/build.mk
	@mkdir -p $(@D)
	$(call say,IASL,$<)
	$(Q)iasl -we -p $(B)/gen/devices/$* $< >$(B)/gen/devices/$*.log 2>&1 || \
	    { cat $(B)/gen/devices/$*.log; exit 1; }
	$(Q){ printf '// SPDX-License-Identifier: MIT\n// Made from %s by iasl.\n#pragma once\n' '$<'; \
	    printf '#include <stdint.h>\nstatic const uint8_t $*_aml[] = {\n'; \
	    od -An -v -tx1 $(B)/gen/devices/$*.aml | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; \
	    printf '};\n'; } >$@
