#include "textflag.h"

// 32 bytes of ones, 32 of zeros: what begins n bytes before the zeros is a mask
// of n bytes.
DATA firstBytes<>+0(SB)/8, $-1
DATA firstBytes<>+8(SB)/8, $-1
DATA firstBytes<>+16(SB)/8, $-1
DATA firstBytes<>+24(SB)/8, $-1
DATA firstBytes<>+32(SB)/8, $0
DATA firstBytes<>+40(SB)/8, $0
DATA firstBytes<>+48(SB)/8, $0
DATA firstBytes<>+56(SB)/8, $0
GLOBL firstBytes<>(SB), RODATA|NOPTR, $64

// func gather(dst *textKey, src *string, n int)
TEXT ·gather(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), BX
	LEAQ firstBytes<>+32(SB), R8
	MOVQ $32, R9

loop:
	MOVQ    (SI), AX
	MOVQ    8(SI), CX
	CMPQ    CX, R9
	CMOVQGT R9, CX
	TESTQ   CX, CX
	CMOVQEQ R8, AX     // an empty text may lie nowhere
	MOVQ    AX, DX
	ANDQ    $4095, DX
	CMPQ    DX, $4064
	JA      edge
	VMOVDQU (AX), Y0
	MOVQ    R8, DX
	SUBQ    CX, DX
	VPAND   (DX), Y0, Y0
	VMOVDQU Y0, (DI)

next:
	ADDQ $16, SI
	ADDQ $32, DI
	DECQ BX
	JNZ  loop
	VZEROUPPER
	RET

edge: // near the end of a page: byte by byte
	VPXOR   Y0, Y0, Y0
	VMOVDQU Y0, (DI)
	TESTQ   CX, CX
	JEQ     next

copy:
	MOVB -1(AX)(CX*1), DX
	MOVB DX, -1(DI)(CX*1)
	DECQ CX
	JNZ  copy
	JMP  next
