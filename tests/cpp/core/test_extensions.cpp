#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "model/extensions.hpp"
#include "support.hpp"

namespace torchml::test::extensions_tests {
namespace {

/// A raw model whose energy is an operator of the test library.
void save_operator_model(fs::path const& path, std::string const& extensions) {
  torch::jit::Module module("model");
  auto const graph = std::make_shared<torch::jit::Graph>();
  graph->addInput("self")->setType(module.type());
  for (auto const* name : {"species", "coords", "n_neigh", "nlist", "contributing"})
    graph->addInput(name);
  auto* const energy = graph->insertNode(
      graph->create(c10::Symbol::fromQualString("torchml_test::row_sums"), {graph->inputs()[2]}));
  graph->registerOutput(energy->output());
  module.type()->addMethod(module._ivalue()->compilation_unit()->create_function(
      c10::QualifiedName(*module.type()->name(), "forward"), graph));
  torch::jit::ExtraFilesMap extra = {{"torchml/convention", "none"},
                                     {"torchml/species", "Si"},
                                     {"torchml/cutoff", "2.0"},
                                     {"torchml/extensions", extensions}};
  module.save(path.string(), extra);
}

/// Writing needs the library, and a process that has loaded one keeps it: a child writes, and
/// ctest runs each test in a process of its own.
fs::path write_operator_model(TemporaryFolder const& folder, std::string const& extensions) {
  auto const path = folder / "model.pt";
  if (auto const child = fork(); child == 0) {
    load_extensions({{TEST_OPERATORS}});
    save_operator_model(path, extensions);
    _exit(0);
  } else {
    waitpid(child, nullptr, 0);
  }
  return path;
}

TEST(Extensions, AMissingLibraryNamesThePlacesSearched) {
  auto const message = error_of([] { load_extensions({{"torch_nowhere"}}); });
  EXPECT_TRUE(contains(message, "'torch_nowhere' was not found in")) << message;
  EXPECT_TRUE(contains(message, "TORCHML_EXTENSION_PATH")) << message;
}

TEST(Extensions, ABrokenLibraryIsNamed) {
  TemporaryFolder const folder;
  auto const path = folder.write("libbroken.so", "no library");
  EXPECT_TRUE(contains(error_of([&] { load_extensions({{path.string()}}); }), "libbroken.so"));
}

TEST(Extensions, AreFoundByTheNameInTheMetadata) {
  fs::path const library = TEST_OPERATORS;
  TemporaryFolder const folder;
  setenv("TORCHML_EXTENSION_PATH", library.parent_path().c_str(), 1);
  Potential const potential({.model = write_operator_model(folder, "torchml_test_operators"),
                             .settings = RuntimeSettings::from_environment()});
  EXPECT_EQ(potential.energy_kind(), EnergyKind::per_particle);
}

TEST(Extensions, AreFoundByPath) {
  TemporaryFolder const folder;
  EXPECT_EQ(
      error_of([&] { Potential const p({.model = write_operator_model(folder, TEST_OPERATORS)}); }),
      "");
}

TEST(Extensions, AreFoundThroughTheEnvironment) {
  TemporaryFolder const folder;
  auto const model = write_operator_model(folder, "");
  auto const message = error_of([&] { Potential const potential({.model = model}); });
  EXPECT_TRUE(contains(message, "needs operators of 'torchml_test'")) << message;
  EXPECT_TRUE(contains(message, "TORCHML_EXTENSIONS")) << message;
  setenv("TORCHML_EXTENSIONS", TEST_OPERATORS, 1);
  auto const settings = RuntimeSettings::from_environment();
  EXPECT_EQ(error_of([&] { Potential const potential({.model = model, .settings = settings}); }),
            "");
}

}  // namespace
}  // namespace torchml::test::extensions_tests
