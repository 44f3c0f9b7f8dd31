// Writes descriptor.dat in KLIFF's layout; KLIFF has none for Xi, so that it is libdescriptor's.
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml::descriptor {
namespace {

std::string title(std::string const& text) {
  auto const line = "#" + std::string(80, '=') + "\n";
  return line + "# " + text + "\n" + line;
}

std::string item(std::string const& name, std::string const& value) {
  return "# " + name + "\n" + value + "\n\n";
}

std::string joined(std::vector<std::string> const& words) {
  std::string line;
  for (auto const& word : words) line += (line.empty() ? "" : "    ") + word;
  return line;
}

std::string header(SpeciesCutoffs const& cutoffs) {
  auto const& species = cutoffs.species();
  std::string text = title("Descriptor parameters file.") + "\ncos  # cutoff type\n\n" +
                     std::to_string(species.size()) +
                     "  # number of species\n\n# species 1    species 2    cutoff\n";
  for (std::size_t a = 0; a < species.size(); ++a)
    for (std::size_t b = 0; b < species.size(); ++b)
      text += species[a] + "  " + species[b] + "  " +
              shortest(cutoffs.matrix()[a * species.size() + b]) + "\n";
  return text + "\n";
}

/// One row of a symmetry function: its numbers, and their names.
std::pair<std::vector<double>, std::string> row(SymmetryFunction const& function) {
  switch (function.kind) {
    case SymmetryFunction::Kind::g1:
      return {{0.0}, "not used"};
    case SymmetryFunction::Kind::g2:
      return {{function.eta, function.shift}, "eta  Rs"};
    case SymmetryFunction::Kind::g3:
      return {{function.kappa}, "kappa"};
    case SymmetryFunction::Kind::g4:
    case SymmetryFunction::Kind::g5:
      return {{function.zeta, function.lambda, function.eta}, "zeta  lambda  eta"};
  }
  throw Error("a symmetry function has no kind, expected g1 to g5");
}

/// Neighbours of the same kind share a group; each g1 is a group of its own.
std::string groups(std::vector<SymmetryFunction> const& functions) {
  static constexpr char const* kinds[] = {"g1", "g2", "g3", "g4", "g5"};
  std::string text;
  std::size_t count = 0;
  for (std::size_t first = 0, last = 0; first < functions.size(); first = last, ++count) {
    auto const kind = functions[first].kind;
    do ++last;
    while (last < functions.size() && functions[last].kind == kind &&
           kind != SymmetryFunction::Kind::g1);
    // The row of g1 has no meaning, but libdescriptor needs one.
    text += joined({kinds[static_cast<std::size_t>(kind)], std::to_string(last - first),
                    std::to_string(row(functions[first]).first.size())}) +
            "\n";
    for (auto i = first; i < last; ++i) {
      auto const [values, names] = row(functions[i]);
      for (double const value : values) text += shortest(value) + "    ";
      text += "# " + names + "\n";
    }
    text += "\n";
  }
  return std::to_string(count) +
         "  # number of symmetry functions types\n\n# sym_function    rows    cols\n" + text;
}

std::string write(SymmetryFunctionsParameters const& parameters) {
  // Not used any more, but older readers want all of it.
  auto const normalization = "center_and_normalize  True\n\n" +
                             std::to_string(parameters.functions.size()) +
                             "   # descriptor size\n# mean\n0.0\n\n# standard deviation\n1.0\n";
  return header(parameters.cutoffs) + title("symmetry functions") + "\n" +
         groups(parameters.functions) + title("Preprocessing data to center and normalize") +
         normalization;
}

std::string write(BispectrumParameters const& parameters) {
  auto weights = std::vector<std::string>(parameters.cutoffs.species().size(), "1");
  if (!parameters.weights.empty()) weights.clear();
  for (double const weight : parameters.weights) weights.push_back(shortest(weight));
  return header(parameters.cutoffs) + item("jmax", shortest(0.5 * parameters.twojmax)) +
         item("rfac0", shortest(parameters.rfac0)) +
         item("diagonalstyle", std::to_string(parameters.diagonalstyle)) +
         item("rmin0", shortest(parameters.rmin0)) +
         item("switch_flag", parameters.switch_flag ? "1" : "0") +
         item("bzero_flag", parameters.bzero_flag ? "1" : "0") + item("weights", joined(weights));
}

std::string write(SoapParameters const& parameters) {
  return header(parameters.cutoffs) + item("n_max", std::to_string(parameters.n_max)) +
         item("l_max", std::to_string(parameters.l_max)) +
         item("cutoff", shortest(parameters.cutoff)) + item("radial_basis", "polynomial") +
         item("eta", shortest(parameters.eta));
}

std::string write(XiParameters const& parameters) {
  auto const& species = parameters.cutoffs.species();
  if (parameters.cutoffs != SpeciesCutoffs(species, parameters.cutoff))
    throw Error("the cutoffs of pairs of an Xi descriptor are not all its cutoff of " +
                shortest(parameters.cutoff) + " Å, expected the one number that a file holds");
  return title("Descriptor parameters file.") + "\n" + item("q", std::to_string(parameters.q)) +
         item("cutoff", shortest(parameters.cutoff)) + item("radial_basis", "bessel") +
         item("species", std::to_string(species.size()) + "\n" + joined(species));
}

}  // namespace

std::string format_parameters(Parameters const& parameters) {
  auto const written = [](Parameters const& parameters) {
    return std::visit([](auto const& kind) { return write(kind); }, parameters);
  };
  auto text = written(parameters);
  // A name with a blank, a number that is none: what cannot be read again is not written.
  if (written(parse_parameters(text, kind_name(parameters), "the file to be written")) != text)
    throw Error("the parameters of a descriptor " + std::string(kind_name(parameters)) +
                " read differently once written, expected numbers and names that a file can hold");
  return text;
}

}  // namespace torchml::descriptor
