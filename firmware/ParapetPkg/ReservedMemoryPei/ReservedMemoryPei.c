// SPDX-License-Identifier: MIT
/** @file
  Takes ranges that fw_cfg's etc/e820 reserves in the middle of RAM out of use.

  OvmfPkg describes RAM below 4 GiB as one piece, up to the highest range, so a
  hole in it is lost; on platforms where a paravisor stands in such a hole the
  guest must not touch it.  A machine without holes, as QEMU's are, sees no
  effect.

**/

#include <PiPei.h>

#include <IndustryStandard/E820.h>
#include <Library/BaseLib.h>
#include <Library/DebugLib.h>
#include <Library/HobLib.h>
#include <Library/QemuFwCfgLib.h>

#define E820_FILE  "etc/e820"

//
// More entries than a machine has; what follows is not read.
//
#define MAX_ENTRIES  128

/**
  Call Visit for each entry of etc/e820.

  @param[in]      Visit    The function.
  @param[in, out] Context  Handed on to it.
**/
STATIC
VOID
ForEachEntry (
  IN     VOID    (*Visit)(CONST EFI_E820_ENTRY64 *Entry, UINT64 *Context),
  IN OUT UINT64  *Context
  )
{
  FIRMWARE_CONFIG_ITEM  Item;
  EFI_E820_ENTRY64      Entry;
  UINTN                 Size;
  UINTN                 Index;

  if (RETURN_ERROR (QemuFwCfgFindFile (E820_FILE, &Item, &Size))) {
    return;
  }

  QemuFwCfgSelectItem (Item);
  for (Index = 0; (Index < Size / sizeof (Entry)) && (Index < MAX_ENTRIES); Index++) {
    QemuFwCfgReadBytes (sizeof (Entry), &Entry);
    if (Entry.Length <= MAX_UINT64 - Entry.BaseAddr) {
      Visit (&Entry, Context);
    }
  }
}

/**
  Find the end of RAM below 4 GiB.

  @param[in]      Entry  An entry of etc/e820.
  @param[in, out] End    The highest end so far.
**/
STATIC
VOID
FindLowRamEnd (
  IN     CONST EFI_E820_ENTRY64  *Entry,
  IN OUT UINT64                  *End
  )
{
  if ((Entry->Type == EfiAcpiAddressRangeMemory) && (Entry->BaseAddr < SIZE_4GB)) {
    *End = MAX (*End, MIN (Entry->BaseAddr + Entry->Length, SIZE_4GB));
  }
}

/**
  Allocate an entry that is reserved and lies between 1 MiB and the end of RAM.

  @param[in] Entry  An entry of etc/e820.
  @param[in] End    The end of RAM below 4 GiB.
**/
STATIC
VOID
ReserveEntry (
  IN     CONST EFI_E820_ENTRY64  *Entry,
  IN OUT UINT64                  *End
  )
{
  UINT64  From;
  UINT64  To;

  if ((Entry->Type != EfiAcpiAddressRangeReserved) || (Entry->BaseAddr < SIZE_1MB) ||
      (Entry->BaseAddr + Entry->Length > *End))
  {
    return;
  }

  From = Entry->BaseAddr & ~(UINT64)EFI_PAGE_MASK;
  To   = ALIGN_VALUE (Entry->BaseAddr + Entry->Length, EFI_PAGE_SIZE);
  if (From == To) {
    return;
  }

  DEBUG ((DEBUG_INFO, "%a: [%Lx, %Lx)\n", __func__, From, To));
  BuildMemoryAllocationHob (From, To - From, EfiReservedMemoryType);
}

/**
  Entry point.

  @param[in] FileHandle   This file.
  @param[in] PeiServices  The PEI services.

  @retval EFI_SUCCESS  Always.
**/
EFI_STATUS
EFIAPI
ReservedMemoryInitialize (
  IN       EFI_PEI_FILE_HANDLE  FileHandle,
  IN CONST EFI_PEI_SERVICES     **PeiServices
  )
{
  UINT64  End;

  End = 0;
  ForEachEntry (FindLowRamEnd, &End);
  ForEachEntry (ReserveEntry, &End);
  return EFI_SUCCESS;
}
