// What libFuzzer tries (tests/fuzz), over its first corpus and over mutations of it.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>

#include "fuzz_archive.hpp"
#include "fuzz_metadata.hpp"
#include "fuzz_neighbors.hpp"
#include "fuzz_param_file.hpp"

namespace torchml::test::fuzzed_tests {
namespace {

/// One to eight bytes are replaced, or a part is left out or repeated.
std::string mutated(std::string text, std::mt19937& random) {
  auto const below = [&](std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
  };
  auto const place = below(text.size());
  auto const length = below(std::min<std::size_t>(text.size() - place, 16)) + 1;
  switch (below(4)) {
    case 0:
      return text.erase(place, length);
    case 1:
      return text.insert(place, text.substr(below(text.size()), length));
    default:
      for (auto changes = below(8) + 1; changes > 0; --changes)
        text[below(text.size())] = static_cast<char>(below(256));
      return text;
  }
}

/// The inputs that were read, of the corpus and of `count` mutations of each file.
std::size_t try_corpus(std::string const& folder, int count,
                       std::function<bool(std::string const&)> const& is_read) {
  std::mt19937 random(20);
  std::size_t read = 0;
  for (auto const& entry :
       std::filesystem::directory_iterator(std::string(TEST_CORPUS "/") + folder)) {
    std::ifstream stream(entry.path(), std::ios::binary);
    std::string const text(std::istreambuf_iterator<char>(stream), {});
    EXPECT_TRUE(is_read(text)) << entry.path();
    for (int i = 0; i < count; ++i) read += is_read(mutated(text, random)) ? 1 : 0;
  }
  return read;
}

TEST(Fuzzed, Archives) {
  EXPECT_GT(try_corpus("archive", 2000, fuzz::try_archive), 0U);
}

TEST(Fuzzed, Metadata) {
  EXPECT_GT(try_corpus("metadata", 500, fuzz::try_metadata), 0U);
}

TEST(Fuzzed, ParameterFiles) {
  EXPECT_GT(try_corpus("param_file", 1000, fuzz::try_param_file), 0U);
}

TEST(Fuzzed, NeighborLists) {
  std::size_t folded = 0;
  try_corpus("neighbors", 10, [&](std::string const& input) {
    folded +=
        fuzz::try_neighbors({reinterpret_cast<std::uint8_t const*>(input.data()), input.size()});
    return true;
  });
  EXPECT_GT(folded, 50U);
}

}  // namespace
}  // namespace torchml::test::fuzzed_tests
