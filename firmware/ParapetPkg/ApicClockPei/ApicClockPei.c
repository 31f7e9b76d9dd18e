// SPDX-License-Identifier: MIT
/** @file
  The rate of the local APIC's timer, where the hypervisor tells it.

  The firmware's clock tick is the local APIC's timer, and LocalApicTimerDxe
  believes PcdFSBClock. A hypervisor with Hyper-V's interface has the rate in an
  MSR (HV_X64_MSR_APIC_FREQUENCY); elsewhere the PCD keeps what ParapetPkg.dsc says.

**/

#include <PiPei.h>

#include <Library/BaseLib.h>
#include <Library/DebugLib.h>
#include <Library/PcdLib.h>

#define CPUID_VERSION_INFO         1
#define CPUID_HYPERVISOR_PRESENT   BIT31     ///< in ECX
#define HV_CPUID_MAX               0x40000000
#define HV_CPUID_INTERFACE         0x40000001
#define HV_CPUID_FEATURES          0x40000003
#define HV_INTERFACE_HV_1          SIGNATURE_32 ('H', 'v', '#', '1')
#define HV_ACCESS_FREQUENCY_MSRS   BIT11
#define HV_X64_MSR_APIC_FREQUENCY  0x40000023

/**
  Whether the hypervisor lets us read HV_X64_MSR_APIC_FREQUENCY.

  @retval TRUE   The MSR is there.
  @retval FALSE  No hypervisor, another interface, or no access.
**/
STATIC
BOOLEAN
HasFrequencyMsrs (
  VOID
  )
{
  UINT32  Largest;
  UINT32  Eax;
  UINT32  Ecx;

  //
  // Without a hypervisor its leaves mean nothing.
  //
  AsmCpuid (CPUID_VERSION_INFO, NULL, NULL, &Ecx, NULL);
  if ((Ecx & CPUID_HYPERVISOR_PRESENT) == 0) {
    return FALSE;
  }

  AsmCpuid (HV_CPUID_MAX, &Largest, NULL, NULL, NULL);
  if (Largest < HV_CPUID_FEATURES) {
    return FALSE;
  }

  AsmCpuid (HV_CPUID_INTERFACE, &Eax, NULL, NULL, NULL);
  if (Eax != HV_INTERFACE_HV_1) {
    return FALSE;
  }

  AsmCpuid (HV_CPUID_FEATURES, &Eax, NULL, NULL, NULL);
  return (Eax & HV_ACCESS_FREQUENCY_MSRS) != 0;
}

/**
  Entry point.

  @param[in] FileHandle   This file.
  @param[in] PeiServices  The PEI services.

  @retval EFI_SUCCESS  Always.
**/
EFI_STATUS
EFIAPI
ApicClockInitialize (
  IN       EFI_PEI_FILE_HANDLE  FileHandle,
  IN CONST EFI_PEI_SERVICES     **PeiServices
  )
{
  RETURN_STATUS  Status;
  UINT64         Frequency;

  if (!HasFrequencyMsrs ()) {
    return EFI_SUCCESS;
  }

  Frequency = AsmReadMsr64 (HV_X64_MSR_APIC_FREQUENCY);
  DEBUG ((DEBUG_INFO, "%a: %Lu Hz\n", __func__, Frequency));
  if ((Frequency > 0) && (Frequency <= MAX_UINT32)) {
    Status = PcdSet32S (PcdFSBClock, (UINT32)Frequency);
    ASSERT_RETURN_ERROR (Status);
  }

  return EFI_SUCCESS;
}
