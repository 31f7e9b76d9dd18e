// SPDX-License-Identifier: MIT
/** @file
  The device's registers: reset, buffer, and one message at a time.

**/

#include "MmCommunicationDxe.h"

#include <Library/BaseMemoryLib.h>
#include <Library/DxeServicesTableLib.h>
#include <Library/IoLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiRuntimeLib.h>

//
// The device answers within the write of a command.  One that works on while
// the processor runs gets this many looks at its status.
//
#define MAX_STATUS_READS  100000

STATIC UINTN    mRegisters; ///< physical, virtual after SetVirtualAddressMap()
STATIC UINT8    *mBuffer;   ///< UEFI_VARS_MAX_BUFFER_SIZE bytes; NULL in PIO mode
STATIC BOOLEAN  mUsePio;

/**
  Give a command and wait for its end.

  @param[in] Command  UEFI_VARS_CMD_*.

  @return Status, as TransportExchange() returns it.
**/
STATIC
EFI_STATUS
RunCommand (
  IN UINT16  Command
  )
{
  UINT16  Result;
  UINTN   Reads;

  //
  // What was written to the buffer comes before the command in memory.
  //
  MemoryFence ();
  MmioWrite16 (mRegisters + UEFI_VARS_COMMAND, Command);

  Result = UEFI_VARS_STS_BUSY;
  for (Reads = 0; Reads < MAX_STATUS_READS; Reads++) {
    Result = MmioRead16 (mRegisters + UEFI_VARS_COMMAND);
    if (Result != UEFI_VARS_STS_BUSY) {
      break;
    }

    CpuPause ();
  }

  MemoryFence ();
  switch (Result) {
    case UEFI_VARS_STS_SUCCESS:
      return EFI_SUCCESS;
    case UEFI_VARS_STS_BUSY:
      return EFI_TIMEOUT;
    case UEFI_VARS_STS_ERR_UNSUPPORTED:
      return EFI_UNSUPPORTED;
    case UEFI_VARS_STS_ERR_BUFFER_SIZE:
      return EFI_BAD_BUFFER_SIZE;
    default:
      return EFI_DEVICE_ERROR;
  }
}

/**
  Exchange a message through the window, four bytes at a time: for a device
  that cannot read the guest's memory.

  @param[in, out] Message  Header and data.
  @param[in]      Size     Of header and data.

  @return Status, as TransportExchange() returns it.
**/
STATIC
EFI_STATUS
ExchangeByPio (
  IN OUT UINT8  *Message,
  IN     UINTN  Size
  )
{
  EFI_STATUS  Status;
  UINTN       Offset;
  UINTN       Bytes;
  UINT32      Word;

  Status = RunCommand (UEFI_VARS_CMD_PIO_ZERO_OFFSET);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  for (Offset = 0; Offset < Size; Offset += sizeof (Word)) {
    Word  = 0;
    Bytes = MIN (Size - Offset, sizeof (Word));
    CopyMem (&Word, Message + Offset, Bytes);
    MmioWrite32 (mRegisters + UEFI_VARS_PIO_DATA, Word);
  }

  Status = RunCommand (UEFI_VARS_CMD_PIO_MM);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = RunCommand (UEFI_VARS_CMD_PIO_ZERO_OFFSET);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  for (Offset = 0; Offset < Size; Offset += sizeof (Word)) {
    Word  = MmioRead32 (mRegisters + UEFI_VARS_PIO_DATA);
    Bytes = MIN (Size - Offset, sizeof (Word));
    CopyMem (Message + Offset, &Word, Bytes);
  }

  return EFI_SUCCESS;
}

EFI_STATUS
TransportExchange (
  IN OUT VOID   *Message,
  IN     UINTN  Size
  )
{
  EFI_STATUS  Status;

  if (Size > UEFI_VARS_MAX_BUFFER_SIZE) {
    return EFI_BAD_BUFFER_SIZE;
  }

  if (mUsePio) {
    return ExchangeByPio (Message, Size);
  }

  //
  // The device knows the buffer by its physical address, which stays; the
  // caller's message can be anywhere.
  //
  CopyMem (mBuffer, Message, Size);
  Status = RunCommand (UEFI_VARS_CMD_DMA_MM);
  if (!EFI_ERROR (Status)) {
    CopyMem (Message, mBuffer, Size);
  }

  return Status;
}

VOID
TransportConvertPointers (
  VOID
  )
{
  EfiConvertPointer (0, (VOID **)&mRegisters);
  EfiConvertPointer (EFI_OPTIONAL_PTR, (VOID **)&mBuffer);
}

/**
  Map the page of registers uncached, for the firmware and, by the memory map,
  for the operating system's calls of runtime services.

  @param[in] Registers  Physical address of the page.

  @return Status of the GCD services.
**/
STATIC
EFI_STATUS
MapRegisters (
  IN EFI_PHYSICAL_ADDRESS  Registers
  )
{
  EFI_STATUS                       Status;
  EFI_GCD_MEMORY_SPACE_DESCRIPTOR  Space;

  Status = gDS->GetMemorySpaceDescriptor (Registers, &Space);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  if (Space.GcdMemoryType == EfiGcdMemoryTypeNonExistent) {
    Status = gDS->AddMemorySpace (
                    EfiGcdMemoryTypeMemoryMappedIo,
                    Registers,
                    EFI_PAGE_SIZE,
                    EFI_MEMORY_UC | EFI_MEMORY_RUNTIME
                    );
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  return gDS->SetMemorySpaceAttributes (
                Registers,
                EFI_PAGE_SIZE,
                EFI_MEMORY_UC | EFI_MEMORY_RUNTIME
                );
}

EFI_STATUS
TransportInitialize (
  IN EFI_PHYSICAL_ADDRESS  Registers
  )
{
  EFI_STATUS  Status;

  if ((Registers == 0) || ((Registers & EFI_PAGE_MASK) != 0)) {
    return EFI_NOT_FOUND;
  }

  Status = MapRegisters (Registers);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  mRegisters = (UINTN)Registers;
  if (MmioRead16 (mRegisters + UEFI_VARS_MAGIC) != UEFI_VARS_MAGIC_VALUE) {
    return EFI_NOT_FOUND;
  }

  Status = RunCommand (UEFI_VARS_CMD_RESET);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  MmioWrite32 (mRegisters + UEFI_VARS_BUFFER_SIZE, UEFI_VARS_MAX_BUFFER_SIZE);
  mUsePio = (MmioRead32 (mRegisters + UEFI_VARS_FLAGS) & UEFI_VARS_FLAG_USE_PIO) != 0;
  if (mUsePio) {
    return EFI_SUCCESS;
  }

  mBuffer = AllocateRuntimePages (EFI_SIZE_TO_PAGES (UEFI_VARS_MAX_BUFFER_SIZE));
  if (mBuffer == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  ZeroMem (mBuffer, UEFI_VARS_MAX_BUFFER_SIZE);
  MmioWrite32 (mRegisters + UEFI_VARS_BUFFER_LOW, (UINT32)(UINTN)mBuffer);
  MmioWrite32 (mRegisters + UEFI_VARS_BUFFER_HIGH, (UINT32)RShiftU64 ((UINTN)mBuffer, 32));
  return EFI_SUCCESS;
}
