// SPDX-License-Identifier: MIT
/** @file
  Clears the CMOS shutdown byte before PlatformPei reads it.

  PlatformPei takes 0xFE there for a resume from S3. The byte is the guest's to
  write and the way of a resume trusts what is in memory, so whoever writes it
  before a reset would have the firmware start from memory of theirs. SEC does
  not fall for it either (PcdSmmSmramRequire in ParapetPkg.dsc).

**/

#include <PiPei.h>

#include <Library/IoLib.h>

#define CMOS_INDEX          0x70
#define CMOS_DATA           0x71
#define CMOS_SHUTDOWN_BYTE  0x0F

/**
  Entry point. Stands in the a priori list, so PlatformPei comes later.

  @param[in] FileHandle   This file.
  @param[in] PeiServices  The PEI services.

  @retval EFI_SUCCESS  Always.
**/
EFI_STATUS
EFIAPI
ColdStartInitialize (
  IN       EFI_PEI_FILE_HANDLE  FileHandle,
  IN CONST EFI_PEI_SERVICES     **PeiServices
  )
{
  IoWrite8 (CMOS_INDEX, CMOS_SHUTDOWN_BYTE);
  IoWrite8 (CMOS_DATA, 0);
  return EFI_SUCCESS;
}
