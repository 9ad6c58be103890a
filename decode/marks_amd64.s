#include "textflag.h"

DATA stops<>+0(SB)/8, $0x2222222222222222 // quote
DATA stops<>+8(SB)/8, $0x5C5C5C5C5C5C5C5C // backslash
DATA stops<>+16(SB)/8, $0x1F1F1F1F1F1F1F1F // the last control character
GLOBL stops<>(SB), RODATA|NOPTR, $24

// FIND_STOPS sets the bytes of Y2 and Y3 that stop a string among the 64 at SI. Y5, Y6
// and Y7 hold the stops; where min(x, 0x1F) == x there is a control character.
#define FIND_STOPS \
	VMOVDQU   (SI), Y0; \
	VMOVDQU   32(SI), Y1; \
	VPCMPEQB  Y0, Y5, Y2; \
	VPCMPEQB  Y1, Y5, Y3; \
	VPCMPEQB  Y0, Y6, Y4; \
	VPOR      Y4, Y2, Y2; \
	VPCMPEQB  Y1, Y6, Y4; \
	VPOR      Y4, Y3, Y3; \
	VPMINUB   Y0, Y7, Y4; \
	VPCMPEQB  Y4, Y0, Y4; \
	VPOR      Y4, Y2, Y2; \
	VPMINUB   Y1, Y7, Y4; \
	VPCMPEQB  Y4, Y1, Y4; \
	VPOR      Y4, Y3, Y3

// func markBlocks(dst, src unsafe.Pointer, n int)
TEXT ·markBlocks(SB), NOSPLIT, $0-24
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         n+16(FP), CX
	VPBROADCASTQ stops<>+0(SB), Y5
	VPBROADCASTQ stops<>+8(SB), Y6
	VPBROADCASTQ stops<>+16(SB), Y7

loop:
	FIND_STOPS
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, (DI)
	ADDQ      $64, SI
	ADDQ      $8, DI
	DECQ      CX
	JNZ       loop
	VZEROUPPER
	RET

// func firstStop(src unsafe.Pointer, n int) int
TEXT ·firstStop(SB), NOSPLIT, $0-24
	MOVQ         src+0(FP), SI
	MOVQ         n+8(FP), CX
	MOVQ         SI, DX
	VPBROADCASTQ stops<>+0(SB), Y5
	VPBROADCASTQ stops<>+8(SB), Y6
	VPBROADCASTQ stops<>+16(SB), Y7

next:
	FIND_STOPS
	VPOR      Y2, Y3, Y4
	VPTEST    Y4, Y4
	JNZ       found
	ADDQ      $64, SI
	DECQ      CX
	JNZ       next
	SUBQ      DX, SI
	MOVQ      SI, ret+16(FP)
	VZEROUPPER
	RET

found:
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	BSFQ      AX, AX
	SUBQ      DX, SI
	ADDQ      AX, SI
	MOVQ      SI, ret+16(FP)
	VZEROUPPER
	RET
