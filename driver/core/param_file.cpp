#include "param_file.hpp"

#include <fstream>

#include "error.hpp"
#include "text.hpp"

namespace torchml {
namespace {

/// The meaningful lines of a file, one after the other.
class Lines {
 public:
  explicit Lines(std::filesystem::path const& path)
      : name_(path.filename().string()), stream_(path) {
    if (!stream_) throw Error("cannot open " + path.string() + ", expected a .param file");
  }

  /// The next line that is neither blank nor a comment; `meaning` is for the message at the end
  /// of the file.
  std::string next(std::string const& meaning) {
    if (auto line = next_if_any(); !line.empty()) return line;
    throw Error(name_ + " ends after line " + std::to_string(number_) + ", expected " + meaning);
  }

  std::string next_if_any() {
    for (std::string line; std::getline(stream_, line);) {
      ++number_;
      if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a BOM
      auto const text = trim(line);
      if (!text.empty() && text.front() != '#') return std::string(text);
    }
    return {};
  }

  [[noreturn]] void refuse(std::string const& what, std::string const& expected) const {
    throw Error(where() + ": " + what + ", expected " + expected);
  }

  [[nodiscard]] std::string where() const { return name_ + " line " + std::to_string(number_); }

 private:
  std::string name_;
  std::ifstream stream_;
  int number_ = 0;
};

}  // namespace

Declaration read_param_file(std::filesystem::path const& path) {
  Lines lines(path);
  Declaration declaration{path.filename().string(), {}};
  auto& fields = declaration.fields;

  auto const count_text = lines.next("the number of species");
  auto const count = parse_number<int>(count_text);
  if (!count || *count < 1) lines.refuse("'" + count_text + "'", "the number of species");
  fields["species"] = lines.next("the species names");
  auto const species = split_words(fields["species"]);
  if (static_cast<int>(species.size()) != *count)
    lines.refuse(std::to_string(species.size()) + " species named",
                 count_text + " as announced above");

  fields["convention"] = lower(lines.next("the preprocessing kind"));
  auto const& kind = fields["convention"];
  if (kind != "none" && kind != "descriptor" && kind != "graph" && kind != "edges")
    lines.refuse("unknown preprocessing '" + kind + "'", "None, Descriptor, Graph or Edges");

  fields["cutoff"] = lines.next("the cutoff in Å");
  if (auto const cutoff = parse_number<double>(fields["cutoff"]); !cutoff || !(*cutoff > 0.0))
    lines.refuse("cutoff '" + fields["cutoff"] + "'", "a positive number of Å");
  if (kind == "graph" || kind == "edges") {
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
  return declaration;
}

}  // namespace torchml
