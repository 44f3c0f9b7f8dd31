// The table of metadata keys: what is read, what is refused, and what is written.
#include <gtest/gtest.h>

#include <set>

#include "model/archive_metadata.hpp"
#include "spec/metadata.hpp"
#include "spec/model_declaration.hpp"
#include "support.hpp"

namespace torchml::test::metadata_keys_tests {
namespace {

using Fields = std::map<std::string, std::string>;

Metadata read(Fields const& fields) {
  return merge_metadata({{"m.pt", fields}});
}

template <class Value>
Value value_of(std::string const& key, std::string const& text) {
  return std::get<Value>(read({{key, text}}).begin()->second.value);
}

std::string error_for(std::string const& key, std::string const& text) {
  return error_of([&] { read({{key, text}}); });
}

TEST(MetadataKeys, NamesAndAliasesAreUnique) {
  std::set<std::string> names;
  for (auto const& key : metadata_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    if (!key.alias.empty()) {
      EXPECT_TRUE(names.insert(key.alias).second) << key.alias;
    }
    EXPECT_FALSE(key.meaning.empty()) << key.name;
    EXPECT_EQ(key.kind == ValueKind::choice, !key.choices.empty()) << key.name;
  }
}

TEST(MetadataKeys, ValuesAreReadByTheirKind) {
  EXPECT_EQ(value_of<std::string>("convention", "Graph"), "graph");
  EXPECT_EQ(value_of<double>("cutoff", " 4.5 "), 4.5);
  EXPECT_EQ(value_of<std::int64_t>("layers", "3"), 3);
  EXPECT_EQ(value_of<std::vector<std::string>>("species", "Si  O"),
            (std::vector<std::string>{"Si", "O"}));
  EXPECT_EQ(value_of<bool>("returns_forces", "True"), true);
  EXPECT_EQ(value_of<std::string>("instruction_set", "avx2 avx512"), "avx2 avx512");
  EXPECT_EQ(value_of<std::vector<std::string>>("authors", "A. Author\n\n B. Author \n"),
            (std::vector<std::string>{"A. Author", "B. Author"}));
  EXPECT_EQ(value_of<std::string>("descriptor_parameters", "cos\n\n1\n"), "cos\n\n1\n");
}

TEST(MetadataKeys, OldNamesAreRead) {
  EXPECT_EQ(value_of<std::string>("convention", "none"), "raw");
  EXPECT_EQ(value_of<std::string>("convention", "None"), "raw");
  EXPECT_EQ(read({{"edges", "directed"}}).at("stage_edges").text, "directed");
  EXPECT_TRUE(
      contains(error_of([] { read({{"edges", "directed"}, {"stage_edges", "symmetric"}}); }),
               "'stage_edges' is 'directed' in m.pt but 'symmetric' in m.pt"));
  EXPECT_EQ(
      error_of([] {
        merge_metadata({{"a.param", {{"convention", "raw"}}}, {"m.pt", {{"convention", "none"}}}});
      }),
      "");
}

TEST(MetadataKeys, EmptyTextsDeclareNothing) {
  EXPECT_TRUE(read({{"cutoff", ""}, {"extensions", " \n"}}).empty());
}

TEST(MetadataKeys, MalformedValuesNameKeyTextSourceAndWhatWasExpected) {
  EXPECT_EQ(error_for("cutoff", "-1"), "'cutoff' is '-1' in m.pt, expected a positive number of Å");
  EXPECT_EQ(error_for("receptive_field", "far"),
            "'receptive_field' is 'far' in m.pt, expected a positive number of Å");
  EXPECT_EQ(error_for("layers", "2.5"),
            "'layers' is '2.5' in m.pt, expected an integer of at least 0");
  EXPECT_EQ(error_for("convention", "cooked"),
            "'convention' is 'cooked' in m.pt, expected one of raw, graph, edges, descriptor");
  EXPECT_EQ(error_for("radial", "maybe"), "'radial' is 'maybe' in m.pt, expected true or false");
  EXPECT_EQ(error_for("species", "Si Si"),
            "'species' is 'Si Si' in m.pt, expected each species once");
  EXPECT_TRUE(contains(error_for("format", "2"), "the only metadata format"));
  EXPECT_TRUE(contains(error_for("cutof", "4"),
                       "unknown key 'cutof' in m.pt, expected one of format, convention"));
}

TEST(MetadataKeys, TwoSpellingsAreNoContradiction) {
  EXPECT_EQ(error_of([] {
              merge_metadata(
                  {{"a", {{"cutoff", "4"}, {"species", "Si O"}, {"descriptor", "SOAP"}}},
                   {"b", {{"cutoff", "4.00"}, {"species", " Si  O"}, {"descriptor", "soap"}}}});
            }),
            "");
  EXPECT_TRUE(contains(
      error_of([] { merge_metadata({{"a", {{"model", "M.pt"}}}, {"b", {{"model", "m.pt"}}}}); }),
      "'model' is 'M.pt' in a but 'm.pt' in b"));
}

TEST(MetadataKeys, FilesAreWrittenAsAllVersionsReadThem) {
  auto const files = metadata_files({"an export",
                                     {{"convention", "raw"},
                                      {"stage_edges", "directed"},
                                      {"cutoff", "0.30000000000000004"},
                                      {"returns_forces", "True"},
                                      {"species", "Si O"},
                                      {"name", "Silica"},
                                      {"authors", "A. Author\nB. Author"},
                                      {"extensions", ""}}});
  Fields const expected = {{"torchml/convention", "none"},
                           {"torchml/edges", "directed"},
                           {"torchml/cutoff", "0.30000000000000004"},
                           {"torchml/returns_forces", "true"},
                           {"torchml/species", "Si O"},
                           {"torchml_provenance/name", "Silica"},
                           {"torchml_provenance/authors", "A. Author\nB. Author"}};
  EXPECT_EQ(files, expected);
  EXPECT_TRUE(contains(error_of([] { metadata_files({"an export", {{"model", "m.pt"}}}); }),
                       "'model' is in an export, expected only keys that an archive can carry"));
}

TEST(MetadataKeys, WhatIsWrittenIsRead) {
  TemporaryFolder const folder;
  Fields const fields = {{"convention", "raw"},
                         {"species", "Si O"},
                         {"cutoff", "2.0"},
                         {"name", "Silica"},
                         {"precision", "float64"}};
  torch::jit::Module module("model");
  module.define("def forward(self, x):\n    return x\n");
  torch::jit::ExtraFilesMap extra;
  for (auto const& [file, text] : metadata_files({"an export", fields})) extra[file] = text;
  extra["notes/other"] = "not ours";
  auto const path = folder / "model.pt";
  module.save(path.string(), extra);

  auto const metadata = merge_metadata({read_metadata(path)});
  EXPECT_EQ(metadata.size(), fields.size());
  EXPECT_EQ(std::get<std::string>(metadata.at("convention").value), "raw");
  EXPECT_EQ(std::get<std::string>(metadata.at("name").value), "Silica");
  EXPECT_EQ(merge({read_metadata(path)}).convention, Convention::raw);
}

TEST(MetadataKeys, ChoicesAreThoseOfTheEngine) {
  auto const accepts = [](std::string const& key, std::string_view value) {
    return error_for(key, std::string(value)).empty();
  };
  for (auto const value :
       {Convention::raw, Convention::descriptor, Convention::graph, Convention::edges})
    EXPECT_TRUE(accepts("convention", to_string(value)));
  for (auto const value : {ScalarType::float32, ScalarType::float64})
    EXPECT_TRUE(accepts("dtype", to_string(value)) && accepts("input_dtype", to_string(value)));
  for (auto const value : {SpeciesInput::code, SpeciesInput::atomic_number})
    EXPECT_TRUE(accepts("species_input", to_string(value)));
}

}  // namespace
}  // namespace torchml::test::metadata_keys_tests
