#include <gtest/gtest.h>

#include "spec/elements.hpp"

using torchml::atomic_number;

// The original driver called argon "A", listed titanium twice and ended at uranium.
TEST(Elements, AreComplete) {
  EXPECT_EQ(atomic_number("H"), 1);
  EXPECT_EQ(atomic_number("Si"), 14);
  EXPECT_EQ(atomic_number("Ar"), 18);
  EXPECT_EQ(atomic_number("Ti"), 22);
  EXPECT_EQ(atomic_number("Tl"), 81);
  EXPECT_EQ(atomic_number("U"), 92);
  EXPECT_EQ(atomic_number("Lr"), 103);
  EXPECT_EQ(atomic_number("Og"), 118);
}

TEST(Elements, OthersAreNone) {
  for (auto const* name : {"", "A", "si", "Qq", "user01"})
    EXPECT_FALSE(atomic_number(name)) << name;
}
