#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>

#include <functional>
#include <sstream>
#include <string>

#include "model/archive_check.hpp"
#include "model/pickled_storages.hpp"
#include "model/zip_directory.hpp"
#include "support.hpp"

namespace torchml::test::archive_check_tests {
namespace {

using namespace std::string_literals;

using Change = std::function<void(std::string const& name, std::string& content)>;

/// An archive of TorchScript with a tensor of four numbers, as it is written after a change.
std::string archive(Change const& change) {
  torch::jit::Module module("model");
  module.register_parameter("w", torch::ones({4}, torch::kFloat64), false);
  module.define("def forward(self, x: Tensor) -> Tensor:\n    return x * self.w.sum()\n");
  std::stringstream whole;
  module.save(whole);
  caffe2::serialize::PyTorchStreamReader reader(&whole);
  std::string changed;
  caffe2::serialize::PyTorchStreamWriter writer([&](void const* data, std::size_t size) {
    changed.append(static_cast<char const*>(data), size);
    return size;
  });
  for (auto const& name : reader.getAllRecords()) {
    if (name == "version" || name.starts_with(".data/")) continue;  // the writer's own
    auto const [data, size] = reader.getRecord(name);
    std::string content(static_cast<char const*>(data.get()), size);
    change(name, content);
    writer.writeRecord(name, content.data(), content.size());
  }
  writer.writeEndOfFile();
  return changed;
}

std::string reason(std::string const& content) {
  std::istringstream stream(content);
  return error_of([&] { check_archive(stream); });
}

std::string reason_of_pickle(std::string const& pickle) {
  return error_of([&] { pickled_storages(pickle); });
}

/// ('storage', DoubleStorage, '0', 'cpu', count) of a pickle, as a persistent identifier.
std::string storage(std::string const& count) {
  return "\x80\x02(X" + std::string("\7\0\0\0storage", 11) + "ctorch\nDoubleStorage\nX" +
         std::string(
             "\1\0\0\0"
             "0",
             5) +
         "X" + std::string("\3\0\0\0cpu", 7) + count + "tQ";
}

/// A call with a storage of `count` numbers, an offset, sizes and strides.
std::string tensor(std::string const& offset, std::string const& sizes,
                   std::string const& strides) {
  return storage("K\4").insert(2, "ctorch._utils\n_rebuild_tensor_v2\n(") + offset + sizes +
         strides + "tR.";
}

TEST(ArchiveCheck, WholeArchivesPass) {
  EXPECT_EQ(reason(archive([](auto const&, auto&) {})), "");
}

TEST(ArchiveCheck, StoragesNeedTheirBytes) {
  auto const shorter = archive([](auto const& name, std::string& content) {
    if (name == "data/0") content.resize(31);
  });
  EXPECT_EQ(reason(shorter), "its part 'data/0' has 31 bytes of the 32 that its tensors need");
}

TEST(ArchiveCheck, EveryTruncationIsNoticed) {
  auto const whole = archive([](auto const&, auto&) {});
  for (std::size_t size = 0; size < whole.size(); size += 7)
    EXPECT_NE(reason(whole.substr(0, size)), "") << size;
}

TEST(ArchiveCheck, FindsStorages) {
  auto const found = pickled_storages(storage("K\4") + ".");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().key, "0");
  EXPECT_EQ(found.front().bytes, 32U);
}

TEST(ArchiveCheck, TensorsLieInTheirStorages) {
  EXPECT_EQ(reason_of_pickle(tensor("K\0"s, "K\4\x85", "K\1\x85")), "");
  EXPECT_EQ(reason_of_pickle(tensor("K\4", "K\0\x85"s, "K\1\x85")), "");
  EXPECT_EQ(reason_of_pickle(tensor("K\1", "K\2K\2\x86", "K\2K\0\x86"s)), "");  // expanded
  for (auto const& damaged :
       {tensor("K\1", "K\4\x85", "K\1\x85"), tensor("K\0"s, "K\2\x85", "K\4\x85"),
        tensor("K\0"s, "K\5\x85", "K\1\x85"), tensor("K\5", "K\0\x85"s, "K\1\x85"),
        tensor("K\0"s, "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86",
               "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
        tensor("K\0"s, "\x8a\x08\0\0\0\0\0\0\0\x40\x85"s, "\x8a\x08\0\0\0\0\0\0\0\x40\x85"s)})
    EXPECT_TRUE(contains(reason_of_pickle(damaged), "larger than its storage"));
  EXPECT_TRUE(contains(reason_of_pickle(tensor("J\xff\xff\xff\xff", "K\1\x85", "K\1\x85")),
                       "that is no count"));
  EXPECT_TRUE(contains(reason_of_pickle(tensor("K\0"s, "K\4\x85", ")")), "unlike sizes"));
}

TEST(ArchiveCheck, PicklesTakeOnlyWhatIsThere) {
  for (std::string const pickle :
       {"\x80\x02\x85.", "\x80\x02.", "\x80\x02(\x85.", "\x80\x02(N(\x85.", "\x80\x02Ra.",
        "\x80\x02Nq", "\x80\x02t.", "\x80\x02h\5.", "X\xff\xff\xff\xff", "cone", "\x80\x02\x8d\xff",
        "\x80\x02Nb.", "\x80\x02NNs.", "", "Z"})
    EXPECT_NE(reason_of_pickle(pickle), "") << pickle;
}

TEST(ArchiveCheck, NestsUpToAThousandLevels) {
  auto const nested = [](int levels) {
    return "N" + std::string(static_cast<std::size_t>(levels), '\x85') + ".";
  };
  EXPECT_EQ(reason_of_pickle(nested(1000)), "");
  EXPECT_TRUE(contains(reason_of_pickle(nested(1001)), "nests objects too deep"));
  // Lists that are filled after they were put into another.
  EXPECT_TRUE(contains(reason_of_pickle("]q\1]q\2h\1\x86h\1h\2a."), "inside of another"));
}

}  // namespace
}  // namespace torchml::test::archive_check_tests
