// SPDX-License-Identifier: MIT
/** @file
  What the files of this driver share.

**/

#ifndef MM_COMMUNICATION_DXE_H_
#define MM_COMMUNICATION_DXE_H_

#include <PiDxe.h>

#include <IndustryStandard/UefiVarsDevice.h>
#include <Library/BaseLib.h>
#include <Library/DebugLib.h>
#include <Protocol/MmCommunication.h>
#include <Protocol/MmCommunication2.h>

//
// Bytes of a message before its data.
//
#define MESSAGE_HEADER_SIZE  (OFFSET_OF (EFI_MM_COMMUNICATE_HEADER, Data))

/**
  Find the device in the machine's description.

  @param[out] Registers  Physical address of the page of registers.

  @retval EFI_SUCCESS       The machine announces exactly one device.
  @retval EFI_NOT_FOUND     It announces none.
  @retval EFI_DEVICE_ERROR  The description is malformed, or names several.
**/
EFI_STATUS
FindUefiVarsDevice (
  OUT EFI_PHYSICAL_ADDRESS  *Registers
  );

/**
  Make the registers reachable, now and at runtime, and give the device its
  buffer.

  @param[in] Registers  Physical address of the page of registers.

  @retval EFI_SUCCESS            Messages can be exchanged.
  @retval EFI_NOT_FOUND          No such device answers at this address.
  @retval EFI_DEVICE_ERROR       It refuses a command.
  @retval EFI_OUT_OF_RESOURCES   No memory for the buffer.
  @retval others                 From the GCD services.
**/
EFI_STATUS
TransportInitialize (
  IN EFI_PHYSICAL_ADDRESS  Registers
  );

/**
  Exchange one message, in place.  Works before and after ExitBootServices().

  @param[in, out] Message  Header and data; the answer comes back in the same
                           bytes.
  @param[in]      Size     Of header and data.

  @retval EFI_SUCCESS          The device handled the message.
  @retval EFI_UNSUPPORTED      It does not know the header's GUID.
  @retval EFI_BAD_BUFFER_SIZE  Message larger than the buffer.
  @retval EFI_TIMEOUT          It stays busy.
  @retval EFI_DEVICE_ERROR     Anything else.
**/
EFI_STATUS
TransportExchange (
  IN OUT VOID   *Message,
  IN     UINTN  Size
  );

/**
  Turn this driver's pointers into virtual ones (SetVirtualAddressMap()).
**/
VOID
TransportConvertPointers (
  VOID
  );

#endif // MM_COMMUNICATION_DXE_H_
