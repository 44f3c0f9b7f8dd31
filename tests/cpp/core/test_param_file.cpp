#include <gtest/gtest.h>

#include "spec/param_file.hpp"
#include "support.hpp"

namespace torchml::test::param_file_tests {
namespace {

// As KLIFF writes it.
std::string const kliff =
    "# Number of species\n2\nSi O\n\n# Preprocessing kind\nGraph\n\n# Cutoff and n_conv layers\n"
    "4.0\n3\n\n# Model\nmodel.pt\n\n# Returns Forces\nFalse\n# Number of inputs\n6\n\n"
    "# Any descriptors?\nNone\n";

std::string replaced(std::string text, std::string const& from, std::string const& to) {
  return text.replace(text.find(from), from.size(), to);
}

std::string error_for(std::string const& text) {
  TemporaryFolder const folder;
  auto const path = folder.write("kliff_graph.param", text);
  return error_of([&] { read_param_file(path); });
}

TEST(ParamFile, ReadsWhatKliffWrites) {
  TemporaryFolder const folder;
  auto const fields = read_param_file(folder.write("a.param", kliff)).fields;
  EXPECT_EQ(fields.at("species"), "Si O");
  EXPECT_EQ(fields.at("convention"), "graph");
  EXPECT_EQ(fields.at("cutoff"), "4.0");
  EXPECT_EQ(fields.at("layers"), "3");
  EXPECT_EQ(fields.at("model"), "model.pt");
  EXPECT_EQ(fields.at("returns_forces"), "false");
  EXPECT_EQ(fields.at("number_of_inputs"), "6");
}

TEST(ParamFile, LayoutIsForgiving) {
  TemporaryFolder const folder;
  std::string dos;
  for (char const c : kliff) dos += c == '\n' ? std::string(" \t\r\n") : std::string(1, c);
  for (auto const& text : {dos, "\n\n# a comment more\n" + kliff, kliff + "# comment at the end"})
    EXPECT_EQ(read_param_file(folder.write("a.param", text)).fields.at("number_of_inputs"), "6");
}

TEST(ParamFile, ErrorsNameFileAndLine) {
  EXPECT_TRUE(
      contains(error_for(replaced(kliff, "2\nSi", "abc\nSi")), "kliff_graph.param line 2: 'abc'"));
  EXPECT_TRUE(
      contains(error_for(replaced(kliff, "Si O", "Si")), "line 3: 1 species named, expected 2"));
  EXPECT_TRUE(contains(error_for(replaced(kliff, "Graph", "Wavelet")),
                       "line 6: unknown preprocessing 'wavelet'"));
  EXPECT_TRUE(contains(error_for(replaced(kliff, "4.0", "-4.0")), "line 9: cutoff '-4.0'"));
  EXPECT_TRUE(contains(error_for(replaced(kliff, "4.0", "4,0")), "line 9: cutoff '4,0'"));
  EXPECT_TRUE(
      contains(error_for(replaced(kliff, "\n3\n", "\n0\n")), "line 10: number of layers '0'"));
  EXPECT_TRUE(contains(error_for(replaced(kliff, "False", "maybe")), "True or False"));
  EXPECT_TRUE(contains(error_for(replaced(kliff, "6\n\n", "six\n\n")), "number of inputs 'six'"));
}

TEST(ParamFile, AFileThatEndsEarlySaysWhatIsMissing) {
  EXPECT_TRUE(contains(error_for(""), "expected the number of species"));
  EXPECT_TRUE(contains(error_for("# only a comment"), "expected the number of species"));
  EXPECT_TRUE(
      contains(error_for("1\nSi\n# Preprocessing kind"), "expected the preprocessing kind"));
  EXPECT_TRUE(contains(error_for("1\nSi\nNone\n"), "expected the cutoff"));
  EXPECT_TRUE(contains(error_of([] { read_param_file("/nowhere/a.param"); }), "cannot open"));
}

TEST(ParamFile, ABase64FileIsOfANewerKimApi) {
  EXPECT_TRUE(contains(
      error_for("IyBOdW1iZXIgb2Ygc3BlY2llcwoxClNpCgojIFByZXByb2Nlc3Npbmcga2luZApOb25lCgojIEN1\n"),
      "as KIM-API 2.4 installs models"));
}

}  // namespace
}  // namespace torchml::test::param_file_tests
