// SPDX-License-Identifier: MIT
/** @file
  Registers of the UEFI variable device and how the machine announces it.

  The device is the one that QEMU calls "uefi-vars": a page of registers, and a
  buffer of at most 64 KiB in which the firmware hands over one MM communicate
  message (EFI_MM_COMMUNICATE_HEADER and data, PI specification volume 4) and
  gets the answer in the same place.  All registers are little endian.

**/

#ifndef UEFI_VARS_DEVICE_H_
#define UEFI_VARS_DEVICE_H_

//
// The fw_cfg file that announces the device: records of
//   UINT64 Type; UINT64 Size; UINT8 Payload[Size];
// one after the other.  The payload of the device's record is the physical
// address of its registers.
//
#define HARDWARE_INFO_FILE            "etc/hardware-info"
#define HARDWARE_INFO_TYPE_UEFI_VARS  2

#pragma pack (1)
typedef struct {
  UINT64    Type;
  UINT64    Size;
} HARDWARE_INFO_RECORD;
#pragma pack ()

//
// Offsets of the registers
//
#define UEFI_VARS_MAGIC         0x00    ///< 16 bits, read only: UEFI_VARS_MAGIC_VALUE
#define UEFI_VARS_COMMAND       0x02    ///< 16 bits: write a command, read the last one's status
#define UEFI_VARS_BUFFER_SIZE   0x04    ///< 32 bits: bytes in the buffer
#define UEFI_VARS_BUFFER_LOW    0x08    ///< 32 bits: physical address of the buffer
#define UEFI_VARS_BUFFER_HIGH   0x0C    ///< 32 bits: its upper half
#define UEFI_VARS_PIO_DATA      0x10    ///< window to the buffer; each access moves it on
#define UEFI_VARS_PIO_CRC32C    0x18    ///< 32 bits, read only: CRC-32C of what passed the window
#define UEFI_VARS_FLAGS         0x1C    ///< 32 bits, read only

#define UEFI_VARS_MAGIC_VALUE   0x0EF1
#define UEFI_VARS_FLAG_USE_PIO  BIT0    ///< the device cannot read the buffer in memory

//
// Commands
//
#define UEFI_VARS_CMD_RESET            1    ///< forget the buffer; variables stay
#define UEFI_VARS_CMD_DMA_MM           2    ///< handle the message in the buffer in memory
#define UEFI_VARS_CMD_PIO_MM           3    ///< handle the message that was written to the window
#define UEFI_VARS_CMD_PIO_ZERO_OFFSET  4    ///< put the window to the start of the buffer

//
// Status of a command.  It speaks of the transport only: what became of the
// request stands in the message.
//
#define UEFI_VARS_STS_SUCCESS          0x00
#define UEFI_VARS_STS_BUSY             0x01
#define UEFI_VARS_STS_ERR_UNKNOWN      0x10
#define UEFI_VARS_STS_ERR_UNSUPPORTED  0x11
#define UEFI_VARS_STS_ERR_BUFFER_SIZE  0x12

//
// The largest buffer that the device takes.
//
#define UEFI_VARS_MAX_BUFFER_SIZE  SIZE_64KB

#endif // UEFI_VARS_DEVICE_H_
