// SPDX-License-Identifier: MIT
//
// The TPM 2.0 device object (TCG ACPI Specification 1.3, section 8): a CRB at 0xFED40000 with five
// localities of 4 KiB. The TPM2 table says the rest.
DefinitionBlock ("", "SSDT", 2, "PARAPT", "TPM2", 1)
{
    Scope (\_SB)
    {
        Device (TPM0)
        {
            Name (_HID, "MSFT0101")
            Name (_CID, "MSFT0101")
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFED40000, 0x00005000)
            })
        }
    }
}
