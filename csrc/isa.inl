// All operations for one instruction set: the includer has set the compiler's target and defines
//   MOEBIUS_ISA      the exported table,    MOEBIUS_ISA_NAME   what doctor prints,
//   MOEBIUS_LANES    floats per vector (4, 8, 16).
// A new operation adds its .inl here and its name to operations.def.
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors pass between functions of this unit only
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 means its own intrinsics
#include "operation.h"
#include "simd.h"

#include "elementwise.inl"
#include "roofline.inl"
#include "vectorMath.inl"

#include "fp8Matmul.inl"
#include "groupedMatmul.inl"
#include "headMatmul.inl"
#include "matmul.inl"

#include "absorbedAttention.inl"
#include "adamw.inl"
#include "adjustLogits.inl"
#include "appendCache.inl"
#include "balanceLoss.inl"
#include "embedding.inl"
#include "feedForwardDecode.inl"
#include "findSpecialCodes.inl"
#include "headCrossEntropy.inl"
#include "mlaAttention.inl"
#include "mlaAttentionBackward.inl"
#include "mlaDecode.inl"
#include "permute.inl"
#include "quantizeFp8.inl"
#include "rmsNorm.inl"
#include "rope.inl"
#include "routeTopK.inl"
#include "sampleTokens.inl"
#include "sortByExpert.inl"
#include "swiglu.inl"
#include "topTokens.inl"
#include "unpermute.inl"
#include "updateRouterBias.inl"

namespace moebius {

extern const Isa MOEBIUS_ISA;
const Isa MOEBIUS_ISA = {MOEBIUS_ISA_NAME,
                         MOEBIUS_LANES,
                         {
#define OPERATION(name) name,
#include "operations.def"
#undef OPERATION
                         }};

}  // namespace moebius
