#include "host/runtime_settings.hpp"

#include <cstdlib>
#include <sstream>

#include "torchml/common/error.hpp"
#include "torchml/common/simd/dispatch.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

/// On unless the variable is `off`.
bool is_on(char const* name) {
  auto const value = lower(environment_variable(name));
  if (!value.empty() && value != "on" && value != "off")
    throw Error(std::string(name) + " is '" + value + "', expected on or off");
  return value != "off";
}

ListPolicy list_policy() {
  auto const value = lower(environment_variable("TORCHML_NEIGHBORS"));
  if (value.empty() || value == "complete") return ListPolicy::complete;
  if (value == "excluded") return ListPolicy::excluded;
  if (value == "as_given") return ListPolicy::as_given;
  throw Error("TORCHML_NEIGHBORS is '" + value + "', expected complete, excluded or as_given");
}

/// The parts of a text between colons.
std::vector<std::string> parts_of(std::string const& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

}  // namespace

std::string environment_variable(char const* name) {
  char const* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(trim(value));
}

bool errors_are_printed() {
  return lower(environment_variable("TORCHML_STDERR")) != "off";
}

RuntimeSettings RuntimeSettings::from_environment() {
  simd::instruction_set();  // refuses a wrong TORCHML_DESCRIPTOR_SIMD
  is_on("TORCHML_STDERR");  // refuses a wrong value
  RuntimeSettings settings;
  settings.caching_allocator = is_on("TORCHML_ALLOCATOR");
  settings.ghost_folding = is_on("TORCHML_FOLDING");
  settings.neighbors = list_policy();
  settings.extensions = parts_of(environment_variable("TORCHML_EXTENSIONS"));
  for (auto const& folder : parts_of(environment_variable("TORCHML_EXTENSION_PATH")))
    settings.extension_folders.emplace_back(folder);
  settings.ranks = node_ranks();
  settings.job_size = torchml::job_size();
  return settings;
}

}  // namespace torchml
