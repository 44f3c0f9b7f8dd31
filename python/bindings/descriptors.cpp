// torchml._descriptors: the descriptor library for Python. It needs no torch.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "arrays.hpp"
#include "torchml/common/error.hpp"
#include "torchml/descriptor/compute.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace py = pybind11;

namespace torchml::descriptor {
namespace {

using Strings = std::vector<std::string>;

py::ssize_t rows(std::size_t count) {
  return static_cast<py::ssize_t>(count);
}

SpeciesCutoffs cutoffs_from(Strings const& species, Array<double> const& cutoffs) {
  auto const values = span_of(cutoffs);
  return {species, std::vector<double>(values.begin(), values.end())};
}

py::array_t<double> matrix_of(SpeciesCutoffs const& cutoffs) {
  auto const count = rows(cutoffs.species().size());
  return to_array(cutoffs.matrix(), {count, count});
}

/// A descriptor with its functions of arrays.
class PyDescriptor {
 public:
  explicit PyDescriptor(Parameters parameters)
      : parameters_(std::move(parameters)), descriptor_(make_descriptor(parameters_)) {}

  [[nodiscard]] Parameters const& parameters() const { return parameters_; }
  [[nodiscard]] std::size_t width() const { return descriptor_->width(); }

  py::array_t<double> compute(Array<double> const& positions, Array<int> const& species,
                              Array<int> const& centers, Array<std::int64_t> const& offsets,
                              Array<int> const& neighbors, int threads) const {
    py::array_t<double> values({centers.size(), rows(width())});
    auto const out = mutable_span_of(values);
    Atoms const atoms{span_of(positions), span_of(species), span_of(centers), span_of(offsets),
                      span_of(neighbors)};
    py::gil_scoped_release const release;
    descriptor::compute(*descriptor_, atoms, out, threads);
    return values;
  }

  py::dict pull_back(Array<double> const& positions, Array<int> const& species,
                     Array<int> const& centers, Array<std::int64_t> const& offsets,
                     Array<int> const& neighbors, Array<double> const& cotangent, bool virial,
                     bool particle_virials, int threads) const {
    Atoms const atoms{span_of(positions), span_of(species), span_of(centers), span_of(offsets),
                      span_of(neighbors)};
    std::vector<double> gradient(3 * atoms.size());
    std::vector<double> shares(particle_virials ? 6 * atoms.size() : 0);
    Virial sum{};
    {
      py::gil_scoped_release const release;
      descriptor::pull_back(*descriptor_, atoms, span_of(cotangent),
                            {gradient, virial ? &sum : nullptr, shares}, threads);
    }
    py::dict answer;
    answer["positions"] = to_array(gradient, {species.size(), 3});
    if (virial) answer["virial"] = py::array_t<double>(6, sum.data());
    if (particle_virials) answer["particle_virials"] = to_array(shares, {species.size(), 6});
    return answer;
  }

  py::array_t<double> compute_edges(Array<int> const& center_species,
                                    Array<std::int64_t> const& offsets, Array<int> const& species,
                                    Array<double> const& vectors, int threads) const {
    py::array_t<double> values({center_species.size(), rows(width())});
    auto const out = mutable_span_of(values);
    Edges const edges{span_of(center_species), span_of(offsets), span_of(species),
                      span_of(vectors)};
    py::gil_scoped_release const release;
    descriptor::compute(*descriptor_, edges, out, threads);
    return values;
  }

  py::array_t<double> pull_back_edges(Array<int> const& center_species,
                                      Array<std::int64_t> const& offsets, Array<int> const& species,
                                      Array<double> const& vectors, Array<double> const& cotangent,
                                      int threads) const {
    py::array_t<double> gradient({species.size(), rows(3)});
    auto const out = mutable_span_of(gradient);
    Edges const edges{span_of(center_species), span_of(offsets), span_of(species),
                      span_of(vectors)};
    auto const weights = span_of(cotangent);
    py::gil_scoped_release const release;
    descriptor::pull_back(*descriptor_, edges, weights, out, threads);
    return gradient;
  }

  py::array_t<double> jacobian_edges(Array<int> const& center_species,
                                     Array<std::int64_t> const& offsets, Array<int> const& species,
                                     Array<double> const& vectors, int threads) const {
    py::array_t<double> all({species.size(), rows(width()), rows(3)});
    auto const out = mutable_span_of(all);
    Edges const edges{span_of(center_species), span_of(offsets), span_of(species),
                      span_of(vectors)};
    py::gil_scoped_release const release;
    descriptor::jacobian(*descriptor_, edges, out, threads);
    return all;
  }

 private:
  Parameters parameters_;
  std::unique_ptr<Descriptor const> descriptor_;
};

template <class Kind>
auto bind_parameters(py::module_& module, char const* name) {
  return py::class_<Kind>(module, name)
      .def_property_readonly("species", [](Kind const& kind) { return kind.cutoffs.species(); })
      .def_property_readonly("cutoffs", [](Kind const& kind) { return matrix_of(kind.cutoffs); })
      .def("__eq__", [](Kind const& a, Kind const& b) { return a == b; });
}

void bind_kinds(py::module_& module) {
  using namespace py::literals;
  py::class_<SymmetryFunction> function(module, "SymmetryFunction");
  py::enum_<SymmetryFunction::Kind>(function, "Kind")
      .value("g1", SymmetryFunction::Kind::g1)
      .value("g2", SymmetryFunction::Kind::g2)
      .value("g3", SymmetryFunction::Kind::g3)
      .value("g4", SymmetryFunction::Kind::g4)
      .value("g5", SymmetryFunction::Kind::g5);
  function
      .def(py::init([](SymmetryFunction::Kind kind, double eta, double shift, double kappa,
                       double zeta, double lambda) {
             return SymmetryFunction{kind, eta, shift, kappa, zeta, lambda};
           }),
           "kind"_a, py::kw_only(), "eta"_a = 0.0, "shift"_a = 0.0, "kappa"_a = 0.0, "zeta"_a = 1.0,
           "lambda_"_a = 1.0)
      .def_readonly("kind", &SymmetryFunction::kind)
      .def_readonly("eta", &SymmetryFunction::eta)
      .def_readonly("shift", &SymmetryFunction::shift)
      .def_readonly("kappa", &SymmetryFunction::kappa)
      .def_readonly("zeta", &SymmetryFunction::zeta)
      .def_readonly("lambda_", &SymmetryFunction::lambda);

  bind_parameters<SymmetryFunctionsParameters>(module, "SymmetryFunctionsParameters")
      .def(py::init([](Strings const& species, Array<double> const& cutoffs,
                       std::vector<SymmetryFunction> functions) {
             return SymmetryFunctionsParameters{cutoffs_from(species, cutoffs),
                                                std::move(functions)};
           }),
           "species"_a, "cutoffs"_a, "functions"_a)
      .def_readonly("functions", &SymmetryFunctionsParameters::functions);
  bind_parameters<BispectrumParameters>(module, "BispectrumParameters")
      .def(py::init([](Strings const& species, Array<double> const& cutoffs, int twojmax,
                       double rfac0, int diagonalstyle, double rmin0, bool switch_flag,
                       bool bzero_flag, std::vector<double> weights) {
             return BispectrumParameters{cutoffs_from(species, cutoffs),
                                         twojmax,
                                         rfac0,
                                         diagonalstyle,
                                         rmin0,
                                         switch_flag,
                                         bzero_flag,
                                         std::move(weights)};
           }),
           "species"_a, "cutoffs"_a, py::kw_only(), "twojmax"_a = 8, "rfac0"_a = 0.99363,
           "diagonalstyle"_a = 3, "rmin0"_a = 0.0, "switch_flag"_a = true, "bzero_flag"_a = false,
           "weights"_a = std::vector<double>{})
      .def_readonly("twojmax", &BispectrumParameters::twojmax)
      .def_readonly("rfac0", &BispectrumParameters::rfac0)
      .def_readonly("diagonalstyle", &BispectrumParameters::diagonalstyle)
      .def_readonly("rmin0", &BispectrumParameters::rmin0)
      .def_readonly("switch_flag", &BispectrumParameters::switch_flag)
      .def_readonly("bzero_flag", &BispectrumParameters::bzero_flag)
      .def_readonly("weights", &BispectrumParameters::weights);
  bind_parameters<SoapParameters>(module, "SoapParameters")
      .def(py::init([](Strings const& species, Array<double> const& cutoffs, int n_max, int l_max,
                       double cutoff, double eta) {
             return SoapParameters{cutoffs_from(species, cutoffs), n_max, l_max, cutoff, eta};
           }),
           "species"_a, "cutoffs"_a, py::kw_only(), "n_max"_a = 4, "l_max"_a = 4, "cutoff"_a,
           "eta"_a = 0.5)
      .def_readonly("n_max", &SoapParameters::n_max)
      .def_readonly("l_max", &SoapParameters::l_max)
      .def_readonly("cutoff", &SoapParameters::cutoff)
      .def_readonly("eta", &SoapParameters::eta);
  bind_parameters<XiParameters>(module, "XiParameters")
      .def(py::init([](Strings const& species, Array<double> const& cutoffs, int q, double cutoff) {
             return XiParameters{cutoffs_from(species, cutoffs), q, cutoff};
           }),
           "species"_a, "cutoffs"_a, py::kw_only(), "q"_a = 4, "cutoff"_a)
      .def_readonly("q", &XiParameters::q)
      .def_readonly("cutoff", &XiParameters::cutoff);
}

}  // namespace
}  // namespace torchml::descriptor

PYBIND11_MODULE(_descriptors, module) {
  using namespace torchml::descriptor;
  using namespace py::literals;
  module.doc() = "Descriptors of atomic environments: the same C++ code that the KIM driver runs.";
  py::register_local_exception<torchml::Error>(module, "Error", PyExc_RuntimeError);
  bind_kinds(module);
  module.def("kind_name",
             [](Parameters const& parameters) { return std::string(kind_name(parameters)); });
  module.def("parse_parameters", &parse_parameters, "text"_a, "kind"_a, "source"_a);
  module.def("format_parameters", &format_parameters, "parameters"_a);

  py::class_<PyDescriptor>(module, "Descriptor")
      .def(py::init<Parameters>(), "parameters"_a)
      .def(py::pickle(
          [](PyDescriptor const& descriptor) {
            auto const& parameters = descriptor.parameters();
            return py::make_tuple(std::string(kind_name(parameters)),
                                  format_parameters(parameters));
          },
          [](py::tuple const& state) {
            return PyDescriptor(parse_parameters(state[1].cast<std::string>(),
                                                 state[0].cast<std::string>(), "a pickle"));
          }))
      .def_property_readonly("parameters", &PyDescriptor::parameters)
      .def_property_readonly("width", &PyDescriptor::width)
      .def("compute", &PyDescriptor::compute, "positions"_a, "species"_a, "centers"_a, "offsets"_a,
           "neighbors"_a, "threads"_a = 0)
      .def("pull_back", &PyDescriptor::pull_back, "positions"_a, "species"_a, "centers"_a,
           "offsets"_a, "neighbors"_a, "cotangent"_a, py::kw_only(), "virial"_a = false,
           "particle_virials"_a = false, "threads"_a = 0)
      .def("compute_edges", &PyDescriptor::compute_edges, "center_species"_a, "offsets"_a,
           "species"_a, "vectors"_a, "threads"_a = 0)
      .def("pull_back_edges", &PyDescriptor::pull_back_edges, "center_species"_a, "offsets"_a,
           "species"_a, "vectors"_a, "cotangent"_a, "threads"_a = 0)
      .def("jacobian_edges", &PyDescriptor::jacobian_edges, "center_species"_a, "offsets"_a,
           "species"_a, "vectors"_a, "threads"_a = 0);
}
