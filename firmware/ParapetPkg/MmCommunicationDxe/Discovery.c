// SPDX-License-Identifier: MIT
/** @file
  Finds the UEFI variable device in the fw_cfg file of hardware that no bus
  enumerates.

**/

#include "MmCommunicationDxe.h"

#include <Library/QemuFwCfgLib.h>

EFI_STATUS
FindUefiVarsDevice (
  OUT EFI_PHYSICAL_ADDRESS  *Registers
  )
{
  FIRMWARE_CONFIG_ITEM  Item;
  HARDWARE_INFO_RECORD  Record;
  UINTN                 Left;
  UINTN                 Found;

  if (!QemuFwCfgIsAvailable () ||
      RETURN_ERROR (QemuFwCfgFindFile (HARDWARE_INFO_FILE, &Item, &Left)))
  {
    return EFI_NOT_FOUND;
  }

  Found = 0;
  QemuFwCfgSelectItem (Item);
  while (Left > 0) {
    if (Left < sizeof (Record)) {
      return EFI_DEVICE_ERROR;
    }

    QemuFwCfgReadBytes (sizeof (Record), &Record);
    Left -= sizeof (Record);
    if (Record.Size > Left) {
      return EFI_DEVICE_ERROR;
    }

    Left -= (UINTN)Record.Size;
    if (Record.Type != HARDWARE_INFO_TYPE_UEFI_VARS) {
      QemuFwCfgSkipBytes ((UINTN)Record.Size);
      continue;
    }

    if ((Record.Size != sizeof (*Registers)) || (++Found > 1)) {
      return EFI_DEVICE_ERROR;
    }

    QemuFwCfgReadBytes (sizeof (*Registers), Registers);
  }

  return (Found == 1) ? EFI_SUCCESS : EFI_NOT_FOUND;
}
