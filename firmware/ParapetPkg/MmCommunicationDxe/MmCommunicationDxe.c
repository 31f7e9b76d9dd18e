// SPDX-License-Identifier: MIT
/** @file
  EFI_MM_COMMUNICATION2_PROTOCOL (PI specification, volume 4) over the UEFI
  variable device, and the boot phases that the device must hear of.

  The device owns the variables and decides about them: policy, signatures,
  Secure Boot's state.  This driver only carries messages, so nothing that runs
  in the guest, this firmware included, is trusted with them.

**/

#include "MmCommunicationDxe.h"

#include <Guid/EventGroup.h>
#include <Guid/SmmVariableCommon.h>
#include <Library/BaseMemoryLib.h>
#include <Library/CpuLib.h>
#include <Library/SerialPortLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiRuntimeLib.h>
#include <Protocol/SmmVariable.h>

/**
  Without the device there are no variables, so no Secure Boot and no boot order:
  say so where an administrator sees it, also in a release build, and stop.

  @param[in] Text  What is wrong, with its end of line.
**/
STATIC
VOID
Stop (
  IN CONST CHAR8  *Text
  )
{
  DEBUG ((DEBUG_ERROR, "%a", Text));
  SerialPortInitialize ();
  SerialPortWrite ((UINT8 *)Text, AsciiStrLen (Text));

  //
  // Interrupts stay off, so the processor sleeps instead of burning its host's
  // time.
  //
  DisableInterrupts ();
  while (TRUE) {
    CpuSleep ();
  }
}

/**
  Put an error where the variable driver looks for the answer's status.  It goes
  by that alone: without an answer it would take the one of its last call, a
  success perhaps, or the EFI_NOT_FOUND for which image verification takes
  Secure Boot to be absent.

  @param[in, out] Header  The message, of at least MESSAGE_HEADER_SIZE and
                          MessageLength bytes.
**/
STATIC
VOID
AnswerError (
  IN OUT EFI_MM_COMMUNICATE_HEADER  *Header
  )
{
  SMM_VARIABLE_COMMUNICATE_HEADER  *Variable;

  if (CompareGuid (&Header->HeaderGuid, &gEfiSmmVariableProtocolGuid) &&
      (Header->MessageLength >= OFFSET_OF (SMM_VARIABLE_COMMUNICATE_HEADER, Data)))
  {
    Variable               = (SMM_VARIABLE_COMMUNICATE_HEADER *)Header->Data;
    Variable->ReturnStatus = EFI_DEVICE_ERROR;
  }
}

/**
  EFI_MM_COMMUNICATION2_PROTOCOL.Communicate().  On an error the variable
  driver's messages also say so themselves.  Before ExitBootServices() it does
  not return when the device has lost the variables: what is to be started then
  is decided by them.

  @param[in]      This                The protocol.
  @param[in, out] CommBufferPhysical  The message's physical address; not used,
                                      since the message is copied.
  @param[in, out] CommBufferVirtual   The message.
  @param[in, out] CommSize            Bytes of the message with its header; on
                                      EFI_BAD_BUFFER_SIZE the largest possible.

  @retval EFI_SUCCESS            The answer stands in place of the message.
  @retval EFI_INVALID_PARAMETER  A pointer is NULL, or CommSize is less than
                                 what the header says.
  @retval EFI_BAD_BUFFER_SIZE    The message is larger than the device's buffer.
  @retval others                 From TransportExchange().
**/
STATIC
EFI_STATUS
EFIAPI
Communicate (
  IN CONST EFI_MM_COMMUNICATION2_PROTOCOL  *This,
  IN OUT VOID                              *CommBufferPhysical,
  IN OUT VOID                              *CommBufferVirtual,
  IN OUT UINTN                             *CommSize OPTIONAL
  )
{
  EFI_MM_COMMUNICATE_HEADER  *Header;
  EFI_STATUS                 Status;
  EFI_TPL                    OldTpl;
  UINTN                      Size;
  BOOLEAN                    AtBoot;

  if ((CommBufferPhysical == NULL) || (CommBufferVirtual == NULL)) {
    return EFI_INVALID_PARAMETER;
  }

  Header = CommBufferVirtual;
  if (Header->MessageLength > UEFI_VARS_MAX_BUFFER_SIZE - MESSAGE_HEADER_SIZE) {
    if (CommSize != NULL) {
      *CommSize = UEFI_VARS_MAX_BUFFER_SIZE;
    }

    AnswerError (Header);
    return EFI_BAD_BUFFER_SIZE;
  }

  Size = MESSAGE_HEADER_SIZE + Header->MessageLength;
  if ((CommSize != NULL) && (*CommSize < Size)) {
    return EFI_INVALID_PARAMETER;
  }

  //
  // There is one buffer.  In the operating system the caller serialises runtime
  // services (UEFI specification, 8.1); before that, an event's notification
  // must not come in between.
  //
  OldTpl = TPL_APPLICATION;
  AtBoot = !EfiAtRuntime ();
  if (AtBoot) {
    OldTpl = gBS->RaiseTPL (TPL_NOTIFY);
  }

  Status = TransportExchange (Header, Size);
  if (EFI_ERROR (Status)) {
    if (AtBoot && ((Status == EFI_DEVICE_ERROR) || (Status == EFI_TIMEOUT))) {
      Stop ("\r\nParapet firmware: the UEFI variable device has failed. Stopped.\r\n");
    }

    AnswerError (Header);
  }

  if (AtBoot) {
    gBS->RestoreTPL (OldTpl);
  }

  return Status;
}

STATIC EFI_MM_COMMUNICATION2_PROTOCOL  mMmCommunication2 = { Communicate };

/**
  Tell the device that a boot phase begins: a message of one byte whose GUID is
  the event group's.

  @param[in] Event    The event that was signalled.
  @param[in] Context  The GUID of its group.
**/
STATIC
VOID
EFIAPI
OnBootPhase (
  IN EFI_EVENT  Event,
  IN VOID       *Context
  )
{
  EFI_MM_COMMUNICATE_HEADER  Message;
  EFI_STATUS                 Status;
  UINTN                      Size;

  ZeroMem (&Message, sizeof (Message));
  CopyGuid (&Message.HeaderGuid, Context);
  Message.MessageLength = 1;

  Size   = MESSAGE_HEADER_SIZE + 1;
  Status = Communicate (&mMmCommunication2, &Message, &Message, &Size);
  if (EFI_ERROR (Status)) {
    DEBUG ((DEBUG_ERROR, "%a: %g: %r\n", __func__, Context, Status));
  }
}

/**
  SetVirtualAddressMap() was called.

  @param[in] Event    The event.
  @param[in] Context  NULL.
**/
STATIC
VOID
EFIAPI
OnVirtualAddressChange (
  IN EFI_EVENT  Event,
  IN VOID       *Context
  )
{
  TransportConvertPointers ();
}

/**
  Register OnBootPhase() for the three groups that the device knows, and the
  change to virtual addresses.

  @return Status of the first call that failed, or EFI_SUCCESS.
**/
STATIC
EFI_STATUS
RegisterEvents (
  VOID
  )
{
  STATIC EFI_GUID *CONST  Phases[] = {
    &gEfiEndOfDxeEventGroupGuid,
    &gEfiEventReadyToBootGuid,
    &gEfiEventExitBootServicesGuid
  };

  EFI_STATUS  Status;
  EFI_EVENT   Event;
  UINTN       Index;

  for (Index = 0; Index < ARRAY_SIZE (Phases); Index++) {
    Status = gBS->CreateEventEx (
                    EVT_NOTIFY_SIGNAL,
                    TPL_CALLBACK,
                    OnBootPhase,
                    Phases[Index],
                    Phases[Index],
                    &Event
                    );
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  return gBS->CreateEventEx (
                EVT_NOTIFY_SIGNAL,
                TPL_NOTIFY,
                OnVirtualAddressChange,
                NULL,
                &gEfiEventVirtualAddressChangeGuid,
                &Event
                );
}

/**
  Entry point.

  @param[in] ImageHandle  This image.
  @param[in] SystemTable  The system table.

  @retval EFI_SUCCESS  The protocol is there; else the function does not return.
**/
EFI_STATUS
EFIAPI
MmCommunicationInitialize (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_PHYSICAL_ADDRESS  Registers;
  EFI_STATUS            Status;

  Status = FindUefiVarsDevice (&Registers);
  if (EFI_ERROR (Status)) {
    Stop (
      (Status == EFI_NOT_FOUND)
      ? "\r\nParapet firmware: this machine announces no UEFI variable device. Stopped.\r\n"
      : "\r\nParapet firmware: etc/hardware-info is malformed. Stopped.\r\n"
      );
  }

  Status = TransportInitialize (Registers);
  if (EFI_ERROR (Status)) {
    DEBUG ((DEBUG_ERROR, "%a: device at %Lx: %r\n", __func__, Registers, Status));
    Stop ("\r\nParapet firmware: the UEFI variable device does not answer. Stopped.\r\n");
  }

  Status = RegisterEvents ();
  ASSERT_EFI_ERROR (Status);

  //
  // VariableSmmRuntimeDxe starts once the first of these is there, and installs
  // the variable and variable write architectural protocols for the other two.
  // Those two have no interface: they only say that the device is ready.
  //
  Status = gBS->InstallMultipleProtocolInterfaces (
                  &ImageHandle,
                  &gEfiMmCommunication2ProtocolGuid,
                  &mMmCommunication2,
                  &gEfiSmmVariableProtocolGuid,
                  NULL,
                  &gSmmVariableWriteGuid,
                  NULL,
                  NULL
                  );
  ASSERT_EFI_ERROR (Status);
  return Status;
}
