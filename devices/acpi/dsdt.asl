// SPDX-License-Identifier: MIT
//
// The machine that devices/ presents, for ACPI (6.5, chapters 5, 6 and 19): one PCI root with wired
// interrupts, COM1, the RTC and the ports of the fixed hardware. What depends on the configuration
// is not here: PCI memory windows come as named integers from an SSDT that acpi_tables.c writes,
// the TPM from ssdt_tpm.asl, processors and interrupt controllers from the MADT.
DefinitionBlock ("", "DSDT", 2, "PARAPT", "PARAPET", 1)
{
    External (\P32S, IntObj) // 32-bit window, first address
    External (\P32E, IntObj) // and last one
    External (\P64S, IntObj) // 64-bit window; both 0: none
    External (\P64E, IntObj)

    // S5 by PM1a_CNT.SLP_TYP 0 (ACPI_PM_SLP_TYP_S5); there is no PM1b.
    Name (\_S5, Package (4) { 0, 0, 0, 0 })

    // The interrupt model (5.8.1): 0 the PICs, which is where a guest begins, 1 the IOAPIC.
    Name (\PICM, 0)
    Method (\_PIC, 1, NotSerialized)
    {
        PICM = Arg0
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_SEG, 0)

            Name (CRS0, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xC0000000, 0xFEAFFFFF, 0, 0x3EB00000, , , W32)
            })
            Name (CRS1, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
                    ReadWrite, 0, 0x100000000, 0x1FFFFFFFF, 0, 0x100000000, , , W64)
            })

            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRS0, ^W32._MIN, MIN3)
                CreateDWordField (CRS0, ^W32._MAX, MAX3)
                CreateDWordField (CRS0, ^W32._LEN, LEN3)
                MIN3 = \P32S
                MAX3 = \P32E
                LEN3 = \P32E - \P32S + 1
                If (\P64E == 0)
                {
                    Return (CRS0)
                }
                CreateQWordField (CRS1, ^W64._MIN, MIN6)
                CreateQWordField (CRS1, ^W64._MAX, MAX6)
                CreateQWordField (CRS1, ^W64._LEN, LEN6)
                MIN6 = \P64S
                MAX6 = \P64E
                LEN6 = \P64E - \P64S + 1
                Return (ConcatenateResTemplate (CRS0, CRS1))
            }

            // INTA of slot s is wired to GSI 16 + (s & 3), and for guests that use the PICs to one of
            // their lines; functions have no other pins.
            Name (PRTA, Package (32)
            {
                Package (4) { 0x0000FFFF, 0, 0, 16 },
                Package (4) { 0x0001FFFF, 0, 0, 17 },
                Package (4) { 0x0002FFFF, 0, 0, 18 },
                Package (4) { 0x0003FFFF, 0, 0, 19 },
                Package (4) { 0x0004FFFF, 0, 0, 16 },
                Package (4) { 0x0005FFFF, 0, 0, 17 },
                Package (4) { 0x0006FFFF, 0, 0, 18 },
                Package (4) { 0x0007FFFF, 0, 0, 19 },
                Package (4) { 0x0008FFFF, 0, 0, 16 },
                Package (4) { 0x0009FFFF, 0, 0, 17 },
                Package (4) { 0x000AFFFF, 0, 0, 18 },
                Package (4) { 0x000BFFFF, 0, 0, 19 },
                Package (4) { 0x000CFFFF, 0, 0, 16 },
                Package (4) { 0x000DFFFF, 0, 0, 17 },
                Package (4) { 0x000EFFFF, 0, 0, 18 },
                Package (4) { 0x000FFFFF, 0, 0, 19 },
                Package (4) { 0x0010FFFF, 0, 0, 16 },
                Package (4) { 0x0011FFFF, 0, 0, 17 },
                Package (4) { 0x0012FFFF, 0, 0, 18 },
                Package (4) { 0x0013FFFF, 0, 0, 19 },
                Package (4) { 0x0014FFFF, 0, 0, 16 },
                Package (4) { 0x0015FFFF, 0, 0, 17 },
                Package (4) { 0x0016FFFF, 0, 0, 18 },
                Package (4) { 0x0017FFFF, 0, 0, 19 },
                Package (4) { 0x0018FFFF, 0, 0, 16 },
                Package (4) { 0x0019FFFF, 0, 0, 17 },
                Package (4) { 0x001AFFFF, 0, 0, 18 },
                Package (4) { 0x001BFFFF, 0, 0, 19 },
                Package (4) { 0x001CFFFF, 0, 0, 16 },
                Package (4) { 0x001DFFFF, 0, 0, 17 },
                Package (4) { 0x001EFFFF, 0, 0, 18 },
                Package (4) { 0x001FFFFF, 0, 0, 19 }
            })
            Name (PRTP, Package (32)
            {
                Package (4) { 0x0000FFFF, 0, 0, 5 },
                Package (4) { 0x0001FFFF, 0, 0, 10 },
                Package (4) { 0x0002FFFF, 0, 0, 11 },
                Package (4) { 0x0003FFFF, 0, 0, 7 },
                Package (4) { 0x0004FFFF, 0, 0, 5 },
                Package (4) { 0x0005FFFF, 0, 0, 10 },
                Package (4) { 0x0006FFFF, 0, 0, 11 },
                Package (4) { 0x0007FFFF, 0, 0, 7 },
                Package (4) { 0x0008FFFF, 0, 0, 5 },
                Package (4) { 0x0009FFFF, 0, 0, 10 },
                Package (4) { 0x000AFFFF, 0, 0, 11 },
                Package (4) { 0x000BFFFF, 0, 0, 7 },
                Package (4) { 0x000CFFFF, 0, 0, 5 },
                Package (4) { 0x000DFFFF, 0, 0, 10 },
                Package (4) { 0x000EFFFF, 0, 0, 11 },
                Package (4) { 0x000FFFFF, 0, 0, 7 },
                Package (4) { 0x0010FFFF, 0, 0, 5 },
                Package (4) { 0x0011FFFF, 0, 0, 10 },
                Package (4) { 0x0012FFFF, 0, 0, 11 },
                Package (4) { 0x0013FFFF, 0, 0, 7 },
                Package (4) { 0x0014FFFF, 0, 0, 5 },
                Package (4) { 0x0015FFFF, 0, 0, 10 },
                Package (4) { 0x0016FFFF, 0, 0, 11 },
                Package (4) { 0x0017FFFF, 0, 0, 7 },
                Package (4) { 0x0018FFFF, 0, 0, 5 },
                Package (4) { 0x0019FFFF, 0, 0, 10 },
                Package (4) { 0x001AFFFF, 0, 0, 11 },
                Package (4) { 0x001BFFFF, 0, 0, 7 },
                Package (4) { 0x001CFFFF, 0, 0, 5 },
                Package (4) { 0x001DFFFF, 0, 0, 10 },
                Package (4) { 0x001EFFFF, 0, 0, 11 },
                Package (4) { 0x001FFFFF, 0, 0, 7 }
            })
            Method (_PRT, 0, NotSerialized)
            {
                If (\PICM == 0)
                {
                    Return (PRTP)
                }
                Return (PRTA)
            }

            Device (COM1)
            {
                Name (_HID, EisaId ("PNP0501"))
                Name (_UID, 1)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                    IRQNoFlags () { 4 }
                })
            }

            Device (RTC)
            {
                Name (_HID, EisaId ("PNP0B00"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0070, 0x0070, 1, 2)
                    IRQNoFlags () { 8 }
                })
            }

            // PM1a_EVT, PM1a_CNT and PM_TMR: nobody else's.
            Device (PMIO)
            {
                Name (_HID, EisaId ("PNP0C02"))
                Name (_UID, 1)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0xB000, 0xB000, 1, 12)
                })
            }
        }
    }
}
