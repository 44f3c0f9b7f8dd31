// Reads the descriptor.dat of KLIFF and of libdescriptor. Both put one item on a line; of a line of
// numbers the words between them and the comment behind them have no meaning.
#include <algorithm>
#include <cmath>
#include <map>

#include "torchml/common/error.hpp"
#include "torchml/common/lines.hpp"
#include "torchml/common/text.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml::descriptor {
namespace {

// More than is needed, and few enough that no file makes a program run out of memory. Those
// of numbers that size a descriptor are what make_descriptor accepts.
constexpr int most_species = 200;
constexpr int most_functions = 10000;
constexpr int most_twojmax = 30;
constexpr int most_n_max = 16;
constexpr int most_l_max = 50;
constexpr int most_q = 15;

using Words = std::vector<std::string>;

Words words_of(std::string_view line) {
  auto words = split_words(line);
  auto const comment = std::find_if(words.begin(), words.end(),
                                    [](auto const& word) { return word.starts_with('#'); });
  words.erase(comment, words.end());
  return words;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A word that begins like a number must be a number; other words are skipped.
bool means_number(std::string_view word) {
  if (word.starts_with('+') || word.starts_with('-')) word.remove_prefix(1);
  if (word.starts_with('.')) word.remove_prefix(1);
  if (!word.empty() && is_digit(word.front())) return true;
  auto const name = lower(word);
  return name == "nan" || name == "inf" || name == "infinity";
}

bool is_species(std::string_view word) {
  auto const letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  return !word.empty() && letter(word.front()) &&
         std::all_of(word.begin(), word.end(), [&](char c) {
           return letter(c) || is_digit(c) || c == '_' || c == '-' || c == '+';
         });
}

/// Items of the file, one after the other, with checks that name the line.
class Items {
 public:
  Items(std::string_view text, std::string const& source) : lines_(text, source) {}

  Words words(std::string_view meaning) { return words_of(lines_.next(meaning)); }
  [[nodiscard]] Words peek() const { return words_of(lines_.peek()); }

  [[nodiscard]] double finite(std::string_view word, std::string_view meaning) const {
    auto const value = parse_number<double>(word.starts_with('+') ? word.substr(1) : word);
    if (!value || !std::isfinite(*value))
      lines_.refuse(in_quotes(word), std::string(meaning) + ", a finite number");
    return *value;
  }

  /// The numbers among the words of the line given last.
  [[nodiscard]] std::vector<double> numbers(Words const& words, std::string_view meaning) const {
    std::vector<double> values;
    for (auto const& word : words)
      if (means_number(word)) values.push_back(finite(word, meaning));
    return values;
  }

  /// The next line, which holds that many.
  std::vector<double> numbers(std::size_t count, std::string_view meaning) {
    auto const line = lines_.next(meaning);
    auto values = numbers(words_of(line), meaning);
    if (values.size() != count)
      lines_.refuse(in_quotes(line),
                    std::string(meaning) + ", " +
                        (count == 1 ? "a number" : std::to_string(count) + " numbers"));
    return values;
  }

  double number(std::string_view meaning) { return numbers(1, meaning).front(); }

  int integer(std::string_view meaning, int least, int most) {
    return checked_integer(number(meaning), meaning, least, most);
  }

  [[nodiscard]] int checked_integer(double value, std::string_view meaning, int least,
                                    int most) const {
    if (!(value >= least && value <= most && value == std::floor(value)))
      lines_.refuse("'" + shortest(value) + "'", std::string(meaning) + ", an integer from " +
                                                     std::to_string(least) + " to " +
                                                     std::to_string(most));
    return static_cast<int>(value);
  }

  double positive(std::string_view meaning) {
    double const value = number(meaning);
    if (!(value > 0.0))
      lines_.refuse("'" + shortest(value) + "'", std::string(meaning) + ", a positive number");
    return value;
  }

  bool flag(std::string_view meaning) {
    auto const line = lines_.next(meaning);
    for (auto const& word : words_of(line)) {
      auto const value = lower(word);
      if (value == "true" || value == "1") return true;
      if (value == "false" || value == "0") return false;
    }
    lines_.refuse(in_quotes(line), std::string(meaning) + ", True, False, 1 or 0");
  }

  /// The one name that an item of the format can have.
  void only(std::string_view name, std::string_view meaning) {
    auto const line = lines_.next(meaning);
    if (lower(words_of(line).front()) != name)
      lines_.refuse(in_quotes(line), std::string(meaning) + ", " + std::string(name));
  }

  /// Nothing follows but what KLIFF once used to normalize descriptors, and no longer does.
  void end() {
    auto const line = lines_.next_if_any();
    if (!line.empty() && lower(words_of(line).front()) != "center_and_normalize")
      lines_.refuse(in_quotes(line),
                    "nothing but a block center_and_normalize after the parameters");
  }

  [[noreturn]] void refuse(std::string const& what, std::string const& expected) const {
    lines_.refuse(what, expected);
  }
  [[noreturn]] void refuse_next(std::string_view meaning) {
    auto const line = lines_.next(meaning);
    lines_.refuse(in_quotes(line), meaning);
  }
  [[nodiscard]] std::string where() const { return lines_.where(); }
  [[nodiscard]] int line() const { return lines_.number(); }

 private:
  Lines lines_;
};

/// Cutoffs of pairs as they come; the species are numbered in the order of their appearance.
class PairTable {
 public:
  explicit PairTable(int count) : count_(count) {}

  void read(Items& items) {
    auto const words = items.words("the cutoff of a pair of species");
    auto const a = code(words[0], items);
    auto const b = code(words[1], items);
    double const cutoff = items.finite(words[2], "a cutoff");
    auto const pair = words[0] + "-" + words[1];
    if (!(cutoff > 0.0))
      items.refuse("the cutoff of " + pair + " is " + shortest(cutoff), "a positive number of Å");
    auto const [known, inserted] = table_.try_emplace(std::minmax(a, b), cutoff, items.line());
    if (auto const [earlier, line] = known->second; !inserted && earlier != cutoff)
      items.refuse("the cutoff of " + pair + " is " + shortest(cutoff) + ", but " +
                       shortest(earlier) + " in line " + std::to_string(line),
                   "the same number of Å");
  }

  [[nodiscard]] SpeciesCutoffs finish(Items& items) const {
    auto const missing = count_ * (count_ + 1) / 2 - static_cast<int>(table_.size());
    if (auto const next = items.peek(); missing > 0 && !next.empty() && !means_number(next[0]))
      items.refuse_next("the cutoff of a pair: two names of species and a number");
    if (static_cast<int>(names_.size()) != count_)
      throw Error(items.where() + " ends the cutoffs of pairs of " + std::to_string(names_.size()) +
                  " species, expected " + std::to_string(count_) + " species as announced");
    auto const size = names_.size();
    std::vector<double> matrix(size * size);
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = a; b < size; ++b) {
        auto const entry = table_.find({a, b});
        if (entry == table_.end())
          throw Error(items.where() + " ends the cutoffs of pairs of species without " + names_[a] +
                      "-" + names_[b] + ", expected one for every pair");
        matrix[a * size + b] = matrix[b * size + a] = entry->second.first;
      }
    }
    return {names_, matrix};
  }

 private:
  std::size_t code(std::string const& name, Items const& items) {
    auto const place = std::find(names_.begin(), names_.end(), name);
    if (place == names_.end()) {
      if (static_cast<int>(names_.size()) == count_)
        items.refuse("the species " + in_quotes(name) + " is one more",
                     std::to_string(count_) + " species as announced");
      names_.push_back(name);
      return names_.size() - 1;
    }
    return static_cast<std::size_t>(place - names_.begin());
  }

  int count_;
  std::vector<std::string> names_;
  std::map<std::pair<std::size_t, std::size_t>, std::pair<double, int>> table_;
};

/// What KLIFF begins all files with: type of the cutoff function, number of species, and cutoffs of
/// all ordered pairs, of all pairs, or (right for one species alone) of as many as there are
/// species.
SpeciesCutoffs read_header(Items& items) {
  items.only("cos", "the cutoff function");
  PairTable pairs(items.integer("the number of species", 1, most_species));
  auto const is_pair = [](Words const& words) {
    return words.size() >= 3 && is_species(words[0]) && is_species(words[1]) &&
           means_number(words[2]);
  };
  while (is_pair(items.peek())) pairs.read(items);
  return pairs.finish(items);
}

Parameters read_symmetry_functions(Items& items) {
  using Kind = SymmetryFunction::Kind;
  static std::map<std::string, std::pair<Kind, int>> const kinds = {{"g1", {Kind::g1, 1}},
                                                                    {"g2", {Kind::g2, 2}},
                                                                    {"g3", {Kind::g3, 1}},
                                                                    {"g4", {Kind::g4, 3}},
                                                                    {"g5", {Kind::g5, 3}}};
  SymmetryFunctionsParameters parameters{read_header(items), {}};
  int const groups = items.integer("the number of types of symmetry functions", 1, most_functions);
  for (int group = 0; group < groups; ++group) {
    auto const expected = "g1 to g5 with the numbers of rows and columns";
    auto const words = items.words(expected);
    auto const entry = kinds.find(lower(words[0]));
    if (entry == kinds.end()) items.refuse(in_quotes(words[0]), expected);
    auto const& [name, form] = *entry;
    auto const [kind, columns] = form;
    auto const sizes = items.numbers(words, expected);
    if (kind == Kind::g1 && sizes.empty()) {  // as KLIFF writes it
      parameters.functions.push_back({kind});
      continue;
    }
    if (sizes.size() != 2)
      items.refuse(name + " with " + std::to_string(sizes.size()) + " sizes", expected);
    auto const room = most_functions - static_cast<int>(parameters.functions.size());
    int const rows = items.checked_integer(sizes[0], "the number of rows of " + name, 1,
                                           kind == Kind::g1 ? 1 : room);
    static_cast<void>(
        items.checked_integer(sizes[1], "the number of columns of " + name, columns, columns));
    for (int row = 0; row < rows; ++row) {
      auto const meaning =
          "row " + std::to_string(row + 1) + " of the " + std::to_string(rows) + " of " + name;
      auto const next = items.peek();
      if (!next.empty() && kinds.contains(lower(next[0])))  // not words to be read over
        items.refuse("the next is " + in_quotes(next[0]), meaning);
      auto const values = items.numbers(static_cast<std::size_t>(columns), meaning);
      SymmetryFunction function{kind};
      if (kind == Kind::g2) {
        function.eta = values[0];
        function.shift = values[1];
      } else if (kind == Kind::g3) {
        function.kappa = values[0];
      } else if (kind == Kind::g4 || kind == Kind::g5) {
        function.zeta = values[0];
        function.lambda = values[1];
        function.eta = values[2];
      }
      parameters.functions.push_back(function);
    }
  }
  return parameters;
}

Parameters read_bispectrum(Items& items) {
  BispectrumParameters parameters;
  parameters.cutoffs = read_header(items);
  parameters.twojmax =
      items.checked_integer(2.0 * items.number("jmax"), "twice jmax", 0, most_twojmax);
  parameters.rfac0 = items.number("rfac0");
  parameters.diagonalstyle = items.integer("diagonalstyle", 0, 3);
  parameters.rmin0 = items.number("rmin0");
  parameters.switch_flag = items.flag("switch_flag");
  parameters.bzero_flag = items.flag("bzero_flag");
  parameters.weights =
      items.numbers(parameters.cutoffs.species().size(), "the weights of the species");
  return parameters;
}

std::vector<std::string> read_species(Items& items) {
  auto const count =
      static_cast<std::size_t>(items.integer("the number of species", 1, most_species));
  auto const meaning = "the names of " + std::to_string(count) + " species";
  auto names = items.words(meaning);
  for (auto const& name : names)
    if (!is_species(name)) items.refuse(in_quotes(name), meaning);
  if (names.size() != count) items.refuse(std::to_string(names.size()) + " species", meaning);
  for (auto name = names.begin(); name != names.end(); ++name)
    if (std::find(names.begin(), name, *name) != name)
      items.refuse("the species " + in_quotes(*name) + " occurs twice", meaning);
  return names;
}

Parameters read_soap(Items& items) {
  SoapParameters parameters;
  auto const first = items.peek();
  bool const has_header = std::none_of(first.begin(), first.end(), means_number);
  if (has_header) parameters.cutoffs = read_header(items);
  parameters.n_max = items.integer("n_max", 1, most_n_max);
  parameters.l_max = items.integer("l_max", 0, most_l_max);
  parameters.cutoff = items.positive("the cutoff of the radial functions");
  auto const basis = [&] { items.only("polynomial", "the radial basis"); };
  if (has_header) basis();
  parameters.eta = items.positive("eta");
  if (!has_header) {
    basis();
    parameters.cutoffs = {read_species(items), parameters.cutoff};
  }
  return parameters;
}

Parameters read_xi(Items& items) {
  XiParameters parameters;
  parameters.q = items.integer("q", 0, most_q);
  parameters.cutoff = items.positive("the cutoff of the radial functions");
  items.only("bessel", "the radial basis");
  parameters.cutoffs = {read_species(items), parameters.cutoff};
  return parameters;
}

}  // namespace

Parameters parse_parameters(std::string_view text, std::string_view kind,
                            std::string const& source) {
  static std::map<std::string, Parameters (*)(Items&)> const readers = {
      {"symmetryfunctions", read_symmetry_functions},
      {"bispectrum", read_bispectrum},
      {"soap", read_soap},
      {"xi", read_xi}};
  auto const reader = readers.find(lower(kind));
  if (reader == readers.end())
    throw Error("the descriptor of " + source + " is of the kind " + in_quotes(kind) +
                ", expected SymmetryFunctions, Bispectrum, SOAP or Xi");
  Items items(text, source);
  auto parameters = reader->second(items);
  items.end();
  return parameters;
}

}  // namespace torchml::descriptor
