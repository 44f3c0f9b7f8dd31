#include <gtest/gtest.h>

#include "spec/model_files.hpp"
#include "support.hpp"

namespace torchml::test::model_files_tests {
namespace {

// As KLIFF writes it.
std::string const param =
    "# Number of elements\n2\nSi O\n\n# Preprocessing kind\nDescriptor\n\n# Cutoff "
    "distance\n2.0\n\n"
    "# Model\nmodel.pt\n\n# Returns Forces\nFalse\n\n# Number of inputs\n1\n\n"
    "# Any descriptors?\nSymmetryFunctions\n";

class ModelFilesTest : public testing::Test {
 protected:
  ModelFilesTest()
      : files{folder.write("model.pt", ""), folder.write("descriptor.dat", symmetry_functions),
              folder.write("kim_model.param", param)} {}

  std::string error() {
    return error_of([&] { read_model_files(files); });
  }

  TemporaryFolder folder;
  std::vector<fs::path> files;
};

TEST_F(ModelFilesTest, AreFoundByTheirKindInAnyOrder) {
  auto const found = read_model_files(files);
  EXPECT_EQ(found.model.filename(), "model.pt");
  auto const spec = merge(found.declared);
  EXPECT_EQ(spec.convention, Convention::descriptor);
  EXPECT_EQ(spec.cutoff, 2.0);
}

TEST_F(ModelFilesTest, MayLieBesideOthers) {
  files.push_back(folder.write("README.txt", "dat"));
  EXPECT_EQ(read_model_files(files).declared.size(), 2U);
}

TEST_F(ModelFilesTest, TorchScriptOfTheSameNameStandsBesideACompiledArchive) {
  EXPECT_EQ(read_model_files(files).fallback, std::nullopt);
  auto compiled = param;
  compiled.replace(compiled.find("model.pt"), 8, "model.pt2");
  files.back() = folder.write("kim_model.param", compiled);
  files.push_back(folder.write("model.pt2", ""));
  auto const found = read_model_files(files);
  EXPECT_EQ(found.model.filename(), "model.pt2");
  EXPECT_EQ(found.fallback, files.front());
  files.erase(files.begin());
  EXPECT_EQ(read_model_files(files).fallback, std::nullopt);
}

TEST_F(ModelFilesTest, MistakesInTheDescriptorNameItsFileAndLine) {
  folder.write("descriptor.dat", "\n\ncos\nmany\n");
  EXPECT_TRUE(contains(error_of([&] { merge(read_model_files(files).declared); }),
                       "descriptor.dat line 4"));
}

TEST_F(ModelFilesTest, MissingOrDoubleFilesAreErrors) {
  files.push_back(folder.write("second.dat", symmetry_functions));
  EXPECT_TRUE(contains(error(), "two .dat files, descriptor.dat and second.dat"));
  files = {files[0], files[2], folder.write("b.param", param)};
  EXPECT_TRUE(contains(error(), "two .param files"));
  files = {files[0]};
  EXPECT_TRUE(contains(error(), "no parameter file *.param"));
  files = {folder / "kim_model.param"};
  EXPECT_TRUE(contains(error(), "names the model file 'model.pt'"));
}

}  // namespace
}  // namespace torchml::test::model_files_tests
