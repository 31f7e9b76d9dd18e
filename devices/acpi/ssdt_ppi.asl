// SPDX-License-Identifier: MIT
//
// The TPM's physical presence interface for the operating system (TCG PC Client Physical Presence
// Interface 1.30, section 9): _DSM stores requests in the memory of devices/tpm_ppi.h, where firmware
// has also left what it does with which operation, and reports.
DefinitionBlock ("", "SSDT", 2, "PARAPT", "PPI", 1)
{
    External (\_SB.TPM0, DeviceObj)

    Scope (\_SB.TPM0)
    {
        OperationRegion (PPIM, SystemMemory, 0xFED45000, 0x115)
        Field (PPIM, ByteAcc, NoLock, Preserve)
        {
            Offset (0x105),
            RESP, 32, // firmware's answer to the last request
            REQU, 32, // the request for the next start
            PARM, 32, // and its parameter
            LAST, 32  // the last request
        }

        Name (PAK2, Package (2) { 0, 0 })
        Name (PAK3, Package (3) { 0, 0, 0 })

        // What firmware does with operation Arg0: section 9's values of function 8.
        Method (CONF, 1, Serialized)
        {
            If (Arg0 >= 0x100)
            {
                Return (0)
            }
            OperationRegion (PPIF, SystemMemory, 0xFED45000 + Arg0, 1)
            Field (PPIF, ByteAcc, NoLock, Preserve)
            {
                FLAG, 8
            }
            Return (FLAG & 7)
        }

        // Operation Arg0 with parameter Arg1 for the next start.
        Method (SUBM, 2, Serialized)
        {
            Local0 = CONF (Arg0)
            If (Arg0 != 0 && Local0 == 0)
            {
                Return (1) // not implemented
            }
            If (Local0 == 1 || Local0 == 2)
            {
                Return (3) // blocked by firmware's settings
            }
            REQU = Arg0
            PARM = Arg1
            Return (0)
        }

        Method (_DSM, 4, Serialized)
        {
            If (Arg0 != ToUUID ("3DDDFAA6-361B-4EB4-A424-8D10089D1653"))
            {
                Return (Buffer (1) { 0 })
            }
            Switch (ToInteger (Arg2))
            {
                Case (0) // which functions there are: 0 to 8
                {
                    Return (Buffer (2) { 0xFF, 0x01 })
                }
                Case (1)
                {
                    Return ("1.3")
                }
                Case (2) // submit a request
                {
                    Local0 = SUBM (ToInteger (DerefOf (Arg3 [0])), 0)
                    If (Local0 == 3)
                    {
                        Return (2) // it has no word for "blocked"
                    }
                    Return (Local0)
                }
                Case (3) // the pending request
                {
                    If (Arg1 >= 2)
                    {
                        PAK3 [1] = REQU
                        PAK3 [2] = PARM
                        Return (PAK3)
                    }
                    PAK2 [1] = REQU
                    Return (PAK2)
                }
                Case (4) // how firmware gets to run: a restart
                {
                    Return (2)
                }
                Case (5) // the last request and its outcome
                {
                    PAK3 [1] = LAST
                    PAK3 [2] = RESP
                    Return (PAK3)
                }
                Case (6) // preferred language
                {
                    Return (3)
                }
                Case (7) // submit a request with a parameter
                {
                    Local0 = 0
                    If (SizeOf (Arg3) >= 2)
                    {
                        Local0 = ToInteger (DerefOf (Arg3 [1]))
                    }
                    Return (SUBM (ToInteger (DerefOf (Arg3 [0])), Local0))
                }
                Case (8) // what firmware does with an operation
                {
                    Return (CONF (ToInteger (DerefOf (Arg3 [0]))))
                }
                Default
                {
                    Return (Buffer (1) { 0 })
                }
            }
        }
    }
}
