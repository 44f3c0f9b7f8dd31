#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz_parameters.hpp"
#include "torchml/common/error.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml::descriptor::test {
namespace {

using Kind = SymmetryFunction::Kind;

std::string replaced(std::string text, std::string const& from, std::string const& to) {
  auto const at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

/// The text of a file of the corpus, without its first line.
std::string corpus(std::string const& name) {
  std::ifstream stream(std::filesystem::path(TEST_CORPUS) / name, std::ios::binary);
  std::string kind;
  std::getline(stream, kind);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// The message, or "" if the text can be read.
std::string refusal(std::string const& text, std::string const& kind) {
  try {
    parse_parameters(text, kind, "a.dat");
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

void expect_refusal(std::string const& text, std::string const& kind, std::string const& message) {
  EXPECT_EQ(refusal(text, kind).substr(0, message.size()), message);
}

SymmetryFunction g2(double eta, double shift) {
  SymmetryFunction function{Kind::g2};
  function.eta = eta;
  function.shift = shift;
  return function;
}

SymmetryFunction angular(Kind kind, double zeta, double lambda, double eta) {
  SymmetryFunction function{kind};
  function.zeta = zeta;
  function.lambda = lambda;
  function.eta = eta;
  return function;
}

SymmetryFunctionsParameters symmetry_functions(std::string const& text) {
  return std::get<SymmetryFunctionsParameters>(parse_parameters(text, "SymmetryFunctions", "a"));
}

TEST(DescriptorParameters, SymmetryFunctionsAsKliffWritesThem) {
  SymmetryFunction g3{Kind::g3};
  g3.kappa = 1.5;
  SymmetryFunctionsParameters const expected{{{"Si", "C"}, {5.0, 5.0, 5.0, 4.5}},
                                             {{Kind::g1},
                                              g2(0.0035710676725828126, 0.0),
                                              g2(0.03571067672582813, 0.0),
                                              g3,
                                              angular(Kind::g4, 1.0, -1.0, 0.00035710676725828126),
                                              angular(Kind::g4, 16.0, 1.0, 0.28568541380662504),
                                              angular(Kind::g5, 3.7, 1.0, 0.01)}};
  EXPECT_EQ(symmetry_functions(corpus("kliff_symmetry_functions")), expected);
}

TEST(DescriptorParameters, SymmetryFunctionsOfOtherWriters) {
  SymmetryFunctionsParameters const expected{{{"Si", "C"}, {5.0, 4.5, 4.5, 4.0}},
                                             {g2(0.05, 0.0), {Kind::g1}, g2(0.2, 1.0)}};
  EXPECT_EQ(symmetry_functions(corpus("legacy_symmetry_functions")), expected);
  SymmetryFunctionsParameters const small{{{"Si"}, 5.0}, {{Kind::g1}}};
  EXPECT_EQ(symmetry_functions(corpus("one_species_crlf")), small);
}

TEST(DescriptorParameters, Bispectrum) {
  BispectrumParameters expected;
  expected.cutoffs = {{"Si", "C"}, {5.0, 4.0, 4.0, 3.0}};
  expected.twojmax = 5;
  expected.weights = {1.0, 0.5};
  auto const text = corpus("kliff_bispectrum");
  EXPECT_EQ(parse_parameters(text, "bispectrum", "a"), Parameters(expected));
  expected.switch_flag = false;
  EXPECT_EQ(parse_parameters(replaced(text, "True", "FALSE"), "BISPECTRUM", "a"),
            Parameters(expected));
}

TEST(DescriptorParameters, BothLayoutsOfSoap) {
  SoapParameters const kliff{{{"Si"}, 4.5}, 2, 3, 4.0, 0.5};
  EXPECT_EQ(parse_parameters(corpus("kliff_soap"), "SOAP", "a"), Parameters(kliff));
  SoapParameters const other{{{"H", "C", "N", "O"}, 5.0}, 2, 2, 5.0, 1.0};
  EXPECT_EQ(parse_parameters(corpus("libdescriptor_soap"), "SOAP", "a"), Parameters(other));
}

TEST(DescriptorParameters, Xi) {
  XiParameters const expected{{{"Si"}, 5.0}, 2, 5.0};
  EXPECT_EQ(parse_parameters(corpus("xi"), "xi", "a"), Parameters(expected));
}

TEST(DescriptorParameters, WrittenNumbersAreTheSameToTheLastBit) {
  SymmetryFunction g3{Kind::g3};
  g3.kappa = 0.1 + 0.2;
  SymmetryFunctionsParameters const functions{
      {{"Si", "C", "user01"}, {5, 4.1, 1.0 / 3, 4.1, 1e-9, 2, 1.0 / 3, 2, 1e300}},
      {g2(1e-300, -0.1), g3, {Kind::g1}, {Kind::g1}, g2(0.3, 1), angular(Kind::g5, 3.7, -1, 0)}};
  EXPECT_EQ(parse_parameters(format_parameters(functions), "SymmetryFunctions", "a"),
            Parameters(functions));

  BispectrumParameters bispectrum;
  bispectrum.cutoffs = {{"Si", "C"}, 5.0};
  bispectrum.twojmax = 7;
  bispectrum.rmin0 = 1.0 / 7;
  auto written_out = bispectrum;
  written_out.weights = {1.0, 1.0};
  EXPECT_EQ(parse_parameters(format_parameters(bispectrum), "Bispectrum", "a"),
            Parameters(written_out));

  SoapParameters const soap{{{"Si", "C"}, {5, 4, 4, 3}}, 3, 8, 4.0 / 3, 0.7};
  EXPECT_EQ(parse_parameters(format_parameters(soap), "SOAP", "a"), Parameters(soap));
  XiParameters const xi{{{"Si", "C"}, 5.1}, 3, 5.1};
  EXPECT_EQ(parse_parameters(format_parameters(xi), "Xi", "a"), Parameters(xi));
}

TEST(DescriptorParameters, WhatAFileCannotHoldIsNotWritten) {
  EXPECT_THROW(format_parameters(XiParameters{{{"Si"}, 5.0}, 3, 4.0}), Error);
  EXPECT_THROW(format_parameters(XiParameters{{{"Si C"}, 5.0}, 3, 5.0}), Error);
  EXPECT_THROW(format_parameters(SymmetryFunctionsParameters{{{"Si"}, 5.0}, {}}), Error);
  BispectrumParameters bispectrum;
  bispectrum.cutoffs = {{"Si"}, 5.0};
  bispectrum.weights = {std::nan("")};
  EXPECT_THROW(format_parameters(bispectrum), Error);
  EXPECT_THROW(format_parameters(BispectrumParameters{}), Error);
}

TEST(DescriptorParameters, ErrorsOfTheHeader) {
  std::string const text = "cos\n2\n# pairs\nSi Si 5.0\nSi C 4.5\nC C 4\n1\ng1\n";
  auto const refused = [&](std::string const& from, std::string const& to,
                           std::string const& message) {
    expect_refusal(replaced(text, from, to), "SymmetryFunctions", message);
  };
  EXPECT_EQ(refusal(text, "SymmetryFunctions"), "");
  refused("cos", "tanh", "a.dat line 1: 'tanh', expected the cutoff function, cos");
  refused("2\n", "two\n", "a.dat line 2: 'two', expected the number of species, a number");
  refused("2\n", "0\n",
          "a.dat line 2: '0', expected the number of species, an integer from 1 to 200");
  refused("2\n", "2.5\n", "a.dat line 2: '2.5', expected the number of species, an integer");
  refused("2\n", "1000000000\n", "a.dat line 2: '1e+09', expected the number of species");
  refused("2\n", "3\n", "a.dat line 6 ends the cutoffs of pairs of 2 species, expected 3 species");
  refused("2\n", "1\n",
          "a.dat line 5: the species 'C' is one more, expected 1 species as announced");
  refused("Si C 4.5\n", "",
          "a.dat line 5 ends the cutoffs of pairs of species without Si-C, expected one for every");
  for (auto const* const bad : {"Si C", "Si C four", "Si", "?i C 4.5"})
    refused("Si C 4.5", bad,
            "a.dat line 5: '" + std::string(bad) + "', expected the cutoff of a pair: two names");
  refused("C C 4\n", "C Si 4\nC C 4\n",
          "a.dat line 6: the cutoff of C-Si is 4, but 4.5 in line 5, expected the same number");
  for (auto const* const bad : {"nan", "-inf", "1e999", "4.5x", "4.5.1"})
    refused("4.5", bad,
            "a.dat line 5: '" + std::string(bad) + "', expected a cutoff, a finite number");
  refused("4.5", "-4.5", "a.dat line 5: the cutoff of Si-C is -4.5, expected a positive number");
  refused("4.5", "0", "a.dat line 5: the cutoff of Si-C is 0, expected a positive number");
}

TEST(DescriptorParameters, ErrorsOfSymmetryFunctions) {
  std::string const text = "cos\n1\nSi Si 5\n2\ng2 2 2\n0.1 0\n0.2 0\ng4 1 3\n1 -1 0.1\n";
  auto const refused = [&](std::string const& from, std::string const& to,
                           std::string const& message) {
    expect_refusal(replaced(text, from, to), "SymmetryFunctions", message);
  };
  EXPECT_EQ(refusal(text, "SymmetryFunctions"), "");
  refused("g4", "g6", "a.dat line 8: 'g6', expected g1 to g5 with the numbers of rows and columns");
  refused("g2 2 2", "g2", "a.dat line 5: g2 with 0 sizes, expected g1 to g5 with the numbers");
  refused("g2 2 2", "g2 2 3",
          "a.dat line 5: '3', expected the number of columns of g2, an integer from 2 to 2");
  refused("g2 2 2", "g2 1000000000 2", "a.dat line 5: '1e+09', expected the number of rows of g2");
  refused("g2 2 2", "g2 3 2", "a.dat line 7: the next is 'g4', expected row 3 of the 3 of g2");
  refused("g2 2 2", "g2 1 2", "a.dat line 7: '0.2', expected g1 to g5");
  refused("0.2 0", "0.2", "a.dat line 7: '0.2', expected row 2 of the 2 of g2, 2 numbers");
  refused("0.2 0", "0.2 0 1", "a.dat line 7: '0.2 0 1', expected row 2 of the 2 of g2, 2 numbers");
  refused("1 -1 0.1", "", "a.dat ends after line 9, expected row 1 of the 1 of g4");
  refused("5\n2\n", "5\n1\n",
          "a.dat line 8: 'g4 1 3', expected nothing but a block center_and_normalize");
}

TEST(DescriptorParameters, ErrorsOfTheOtherKinds) {
  auto const bispectrum = corpus("kliff_bispectrum");
  expect_refusal(replaced(bispectrum, "2.5", "2.25"), "Bispectrum",
                 "a.dat line 12: '4.5', expected twice jmax, an integer from 0 to");
  expect_refusal(replaced(bispectrum, "2.5", "2000000000"), "Bispectrum", "a.dat line 12: '4e+09'");
  expect_refusal(replaced(bispectrum, "True", "yes"), "Bispectrum",
                 "a.dat line 24: 'yes', expected switch_flag, True, False, 1 or 0");
  expect_refusal(replaced(bispectrum, "1.0    0.5", "1.0"), "Bispectrum",
                 "a.dat line 30: '1.0', expected the weights of the species, 2 numbers");
  auto const kliff = corpus("kliff_soap");
  expect_refusal(replaced(kliff, "polynomial", "gto"), "SOAP",
                 "a.dat line 18: 'gto', expected the radial basis, polynomial");
  auto const soap = corpus("libdescriptor_soap");
  expect_refusal(replaced(soap, "H C N O", "H C N"), "SOAP",
                 "a.dat line 13: 3 species, expected the names of 4 species");
  expect_refusal(replaced(soap, "H C N O", "H C N C"), "SOAP",
                 "a.dat line 13: the species 'C' occurs twice");
  auto const xi = corpus("xi");
  expect_refusal(replaced(xi, "5.0", "-5"), "Xi", "a.dat line 4: '-5', expected the cutoff");
  expect_refusal(xi, "LMBTR", "the descriptor of a.dat is of the kind 'LMBTR', expected Symmetry");
  expect_refusal(xi, "SOAP", "a.dat line 6: 'bessel', expected the cutoff of the radial functions");
}

TEST(DescriptorParameters, FilesMayHoldWhatDescriptorsCanBeMadeOf) {
  auto const replaced_line = [](std::string const& name, std::string const& line, int value) {
    return replaced(corpus(name), line + "\n", line + "\n" + std::to_string(value) + " # ");
  };
  struct Limit {
    std::string file, line;
    int most;
  };
  for (auto const& [file, line, most] : {Limit{"kliff_soap", "# n_max", 16},
                                         {"kliff_soap", "# l_max", 50},
                                         {"xi", "# q", 15},
                                         {"kliff_bispectrum", "# jmax", 15}}) {
    auto const kind = file.substr(file.find('_') + 1);
    EXPECT_EQ(refusal(replaced_line(file, line, most), kind), "");
    EXPECT_NE(refusal(replaced_line(file, line, most + 1), kind), "");
  }
  SoapParameters soap{{{"Si"}, 5.0}, 1, 1, 5.0, 0.5};
  soap.n_max = 17;
  EXPECT_THROW(make_descriptor(soap), Error);
  soap.n_max = 1;
  soap.l_max = 51;
  EXPECT_THROW(make_descriptor(soap), Error);
  BispectrumParameters bispectrum;
  bispectrum.cutoffs = {{"Si"}, 5.0};
  bispectrum.twojmax = 31;
  EXPECT_THROW(make_descriptor(bispectrum), Error);
}

TEST(DescriptorParameters, AnEndTooEarlyIsAnErrorAtEveryLine) {
  for (std::string const name : {"kliff_bispectrum", "kliff_soap", "libdescriptor_soap", "xi"}) {
    auto const text = corpus(name);
    std::string const kind = name.substr(name.find('_') + 1);
    auto const last = text.find_last_not_of(" \n\t");
    auto const begin = text.rfind('\n', last);  // of the last line that means something
    for (auto end = text.find('\n'); end <= begin; end = text.find('\n', end + 1))
      EXPECT_NE(refusal(text.substr(0, end), kind), "") << name << " cut at " << end;
    EXPECT_EQ(refusal(text, kind), "");
  }
}

TEST(DescriptorParameters, MessagesArePrintable) {
  auto const message = refusal("cos\n" + std::string(1000, '\xFF') + "\n", "SOAP");
  EXPECT_LT(message.size(), 200U);
  for (char const c : message) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(DescriptorParameters, FilesThatCannotBeReadSayWhatWasExpected) {
  EXPECT_THROW(read_parameters("/nowhere/descriptor.dat", "SOAP"), Error);
  EXPECT_THROW(read_parameters(std::filesystem::temp_directory_path(), "SOAP"), Error);
  auto const path = std::filesystem::path(TEST_CORPUS) / "xi";
  EXPECT_THROW(read_parameters(path, "Xi"), Error);  // its first line is the kind
}

/// Deterministic relatives of a text: bytes and lines changed, removed, doubled and exchanged.
std::string mutated(std::string text, std::mt19937& random) {
  auto const below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  static std::string const pieces[] = {"\n",  " ",    "#",    "0",    "-1",   "1e999", "nan", "Si",
                                       "1e9", "g1\n", "\r\n", "\t7 ", "True", "cos",   "\xFF"};
  for (auto steps = 1 + below(4); steps > 0 && !text.empty(); --steps) {
    auto const at = below(text.size());
    auto const length = std::min(text.size() - at, 1 + below(12));
    switch (below(4)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, pieces[below(std::size(pieces))]);
        break;
      case 2:
        text.replace(at, length, pieces[below(std::size(pieces))]);
        break;
      default:
        text.insert(below(text.size()), text.substr(at, 4 * length));
    }
  }
  return text;
}

TEST(DescriptorParameters, CorpusAndItsMutations) {
  std::mt19937 random(7);
  int read = 0;
  for (auto const& entry : std::filesystem::directory_iterator(TEST_CORPUS)) {
    std::ifstream stream(entry.path(), std::ios::binary);
    std::string const text(std::istreambuf_iterator<char>(stream), {});
    EXPECT_TRUE(fuzz::try_parameters(text)) << entry.path();
    for (int i = 0; i < 800; ++i) read += fuzz::try_parameters(mutated(text, random)) ? 1 : 0;
  }
  EXPECT_GT(read, 100);  // the mutations are not all nonsense
}

}  // namespace
}  // namespace torchml::descriptor::test
