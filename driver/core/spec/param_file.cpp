#include "spec/param_file.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "torchml/common/lines.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

constexpr std::pair<std::string_view, Convention> kinds[] = {{"none", Convention::raw},
                                                             {"descriptor", Convention::descriptor},
                                                             {"graph", Convention::graph},
                                                             {"edges", Convention::edges}};

/// KIM-API 2.4 stores the files of models as base64, which its older libraries do not decode.
bool looks_like_base64(std::string_view line) {
  constexpr std::size_t shortest = 48;
  return line.size() >= shortest && std::ranges::all_of(line, [](unsigned char letter) {
           return std::isalnum(letter) != 0 || letter == '+' || letter == '/' || letter == '=';
         });
}

}  // namespace

Declaration read_param_file(std::filesystem::path const& path) {
  return parse_param_file(read_text(path, "a .param file"), path.filename().string());
}

Declaration parse_param_file(std::string_view text, std::string const& source) {
  Lines lines(text, source);
  Declaration declaration{source, {}};
  auto& fields = declaration.fields;

  auto const count_text = lines.next("the number of species");
  if (looks_like_base64(count_text))
    lines.refuse("the file is in base64, as KIM-API 2.4 installs models",
                 "a simulator with that KIM-API, or a model that the simulator's own installed");
  auto const count = parse_number<int>(count_text);
  if (!count || *count < 1) lines.refuse("'" + count_text + "'", "the number of species");
  fields["species"] = lines.next("the species names");
  auto const species = split_words(fields["species"]);
  if (static_cast<int>(species.size()) != *count)
    lines.refuse(std::to_string(species.size()) + " species named",
                 count_text + " as announced above");

  auto const word = lower(lines.next("the preprocessing kind"));
  auto const* const kind =
      std::ranges::find(kinds, word, &std::pair<std::string_view, Convention>::first);
  if (kind == std::end(kinds))
    lines.refuse("unknown preprocessing '" + word + "'", "None, Descriptor, Graph or Edges");
  auto const convention = kind->second;
  fields["convention"] = to_string(convention);

  fields["cutoff"] = lines.next("the cutoff in Å");
  if (auto const cutoff = parse_number<double>(fields["cutoff"]); !cutoff || !(*cutoff > 0.0))
    lines.refuse("cutoff '" + fields["cutoff"] + "'", "a positive number of Å");
  if (passes_messages(convention)) {
    fields["layers"] = lines.next("the number of convolution layers");
    if (auto const layers = parse_number<int>(fields["layers"]); !layers || *layers < 1)
      lines.refuse("number of layers '" + fields["layers"] + "'", "a positive integer");
  }

  fields["model"] = lines.next("the name of the model file");
  fields["returns_forces"] = lower(lines.next("whether the model returns forces"));
  if (fields["returns_forces"] != "true" && fields["returns_forces"] != "false")
    lines.refuse("'" + fields["returns_forces"] + "'",
                 "True or False (does the model return forces)");
  fields["number_of_inputs"] = lines.next("the number of inputs");
  if (auto const inputs = parse_number<int>(fields["number_of_inputs"]); !inputs || *inputs < 1)
    lines.refuse("number of inputs '" + fields["number_of_inputs"] + "'", "a positive integer");
  if (convention == Convention::descriptor)
    fields["descriptor"] = lines.next("the kind of the descriptor");
  return declaration;
}

}  // namespace torchml
