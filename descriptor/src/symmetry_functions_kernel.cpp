#include "simd/simd.hpp"
