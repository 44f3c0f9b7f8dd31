#include "torchml/descriptor/parameters.hpp"

#include "torchml/common/lines.hpp"

namespace torchml::descriptor {

std::string_view kind_name(Parameters const& parameters) {
  static constexpr std::string_view names[] = {"SymmetryFunctions", "Bispectrum", "SOAP", "Xi"};
  return names[parameters.index()];
}

SpeciesCutoffs const& cutoffs_of(Parameters const& parameters) {
  return std::visit([](auto const& kind) -> SpeciesCutoffs const& { return kind.cutoffs; },
                    parameters);
}

std::unique_ptr<Descriptor const> make_descriptor(Parameters const& parameters) {
  return std::visit([](auto const& kind) { return make_descriptor(kind); }, parameters);
}

Parameters read_parameters(std::filesystem::path const& path, std::string_view kind) {
  auto const text = read_text(path, "the parameters of a descriptor");
  return parse_parameters(text, kind, path.filename().string());
}

}  // namespace torchml::descriptor
