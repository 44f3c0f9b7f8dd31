#include <gtest/gtest.h>

#include "spec/model_declaration.hpp"
#include "support.hpp"

namespace torchml::test::model_declaration_tests {
namespace {

std::map<std::string, std::string> const graph = {
    {"convention", "graph"}, {"species", "Si O"}, {"cutoff", "4.0"}, {"layers", "3"}};

std::map<std::string, std::string> with(std::map<std::string, std::string> fields,
                                        std::string const& key, std::string const& value) {
  fields[key] = value;
  return fields;
}

std::string error_for(std::map<std::string, std::string> const& fields) {
  return error_of([&] { merge({{"a.param", fields}}); });
}

TEST(ModelSpec, InfluenceDistanceIsLayersTimesCutoff) {
  EXPECT_DOUBLE_EQ(merge({{"a.param", graph}}).influence_distance(), 12.0);
}

TEST(ModelSpec, LengthsByShellAddUpToTheInfluenceDistance) {
  auto const edges = with(graph, "convention", "edges");
  EXPECT_EQ(merge({{"a.param", edges}}).cutoffs(), (std::vector<double>{4.0, 4.0, 4.0}));
  auto const spec = merge({{"a.param", with(edges, "shell_cutoffs", "4.0 2.5 2")}});
  EXPECT_EQ(spec.cutoffs(), (std::vector<double>{4.0, 2.5, 2.0}));
  EXPECT_DOUBLE_EQ(spec.influence_distance(), 8.5);
  for (auto const* wrong : {"4.0 2.5", "4 2 2 2", "4.0 4.5 2.0", "3 2 1", "4 x 2", "4 2 0"})
    EXPECT_TRUE(contains(error_for(with(edges, "shell_cutoffs", wrong)), "the first 4 Å")) << wrong;
  EXPECT_TRUE(contains(error_for(with(graph, "shell_cutoffs", "4.0 2.5 2")), "'edges'"));
}

TEST(ModelSpec, SourcesComplementEachOther) {
  auto const spec =
      merge({{"a.param", graph}, {"metadata", {{"edges", "directed"}, {"cutoff", "4"}}}});
  EXPECT_TRUE(spec.directed);
  EXPECT_EQ(spec.species, (std::vector<std::string>{"Si", "O"}));
}

TEST(ModelSpec, ContradictionsNameBothValuesAndPlaces) {
  auto const message =
      error_of([] { merge({{"a.param", graph}, {"metadata of m.pt", {{"cutoff", "5.0"}}}}); });
  for (auto const* part : {"'cutoff'", "'4.0' in a.param", "'5.0' in metadata of m.pt"})
    EXPECT_TRUE(contains(message, part)) << message;
  EXPECT_TRUE(contains(error_of([] { merge({{"a", graph}, {"b", {{"species", "O Si"}}}}); }),
                       "'O Si' in b"));
}

TEST(ModelSpec, BadValuesAreErrors) {
  EXPECT_TRUE(contains(error_for(with(graph, "cutof", "4")), "unknown key 'cutof'"));
  EXPECT_TRUE(contains(error_for(with(graph, "cutoff", "0")), "positive number"));
  EXPECT_TRUE(contains(error_for(with(graph, "cutoff", "nan")), "positive number"));
  EXPECT_TRUE(contains(error_for(with(graph, "cutoff", "inf")), "positive number"));
  EXPECT_TRUE(contains(error_for(with(graph, "layers", "2.5")), "integer"));
  EXPECT_TRUE(contains(error_for(with(graph, "species", "Si Si")), "each species once"));
  EXPECT_TRUE(contains(error_for(with(graph, "dtype", "float16")), "float32, float64"));
  EXPECT_TRUE(contains(error_for(with(graph, "edges", "both")), "one of symmetric, directed"));
  EXPECT_TRUE(contains(error_for(with(graph, "format", "2")), "the only metadata format"));
  EXPECT_TRUE(contains(error_for(with(with(graph, "convention", "none"), "layers", "3")),
                       "passes no messages"));
}

TEST(ModelSpec, ADescriptorTellsSpeciesAndCutoff) {
  auto const spec =
      merge({{"a.param", {{"convention", "descriptor"}, {"descriptor", "symmetryfunctions"}}},
             {"d.dat", {{"descriptor_parameters", symmetry_functions}}}});
  EXPECT_EQ(spec.species, (std::vector<std::string>{"Si", "O"}));
  EXPECT_EQ(spec.cutoff, 2.0);
  EXPECT_EQ(spec.influence_distance(), 2.0);
  ASSERT_TRUE(spec.descriptor.has_value());
}

TEST(ModelSpec, DescriptorsThatDoNotFitAreErrors) {
  std::map<std::string, std::string> const whole = {{"convention", "descriptor"},
                                                    {"descriptor", "SymmetryFunctions"},
                                                    {"descriptor_parameters", symmetry_functions}};
  EXPECT_TRUE(contains(error_for(with(whole, "cutoff", "1.9")), "at least the descriptor's"));
  EXPECT_EQ(error_for(with(whole, "cutoff", "2.5")), "");
  EXPECT_TRUE(contains(error_for(with(whole, "species", "Si C")), "does not have the species 'C'"));
  EXPECT_TRUE(contains(error_for(with(whole, "descriptor", "Wavelet")), "Wavelet"));
  auto const with_file = [&](std::string const& text) {
    return error_of(
        [&] { merge({{"m.pt", whole}, {"d.dat", {{"descriptor_parameters", text}}}}); });
  };
  auto text = symmetry_functions;
  auto const cutoff = text.find("2.0");
  EXPECT_EQ(with_file("# ours\r\n" + text.replace(cutoff, 3, "2.00")), "");
  EXPECT_TRUE(contains(with_file(text.replace(cutoff, 4, "1.9")),
                       "the descriptor in m.pt is not that in d.dat"));
  for (auto const& [key, message] :
       {std::pair{"descriptor", "'descriptor' is given nowhere"},
        std::pair{"descriptor_parameters", "parameters of the descriptor are given nowhere"}}) {
    auto missing = whole;
    missing.erase(key);
    EXPECT_TRUE(contains(error_for(missing), message));
  }
  EXPECT_TRUE(
      contains(error_for(with(whole, "descriptor_parameters", "cos\n\nmany\n")), "a.param line 3"));
}

TEST(ModelSpec, MissingValuesAreErrors) {
  for (auto const* key : {"species", "cutoff", "convention", "layers"}) {
    auto fields = graph;
    fields.erase(key);
    auto const message = error_for(fields);
    EXPECT_TRUE(contains(message, key) && contains(message, "is given nowhere")) << message;
  }
}

}  // namespace
}  // namespace torchml::test::model_declaration_tests
