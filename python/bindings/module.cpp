// torchml._core: the engine for Python. Arrays in and out are numpy's; no torch tensor crosses.
#include <pybind11/gil_safe_call_once.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>

#include "arrays.hpp"
#include "graph/shell_graph.hpp"
#include "graph/staged_graph.hpp"
#include "host/launchers.hpp"
#include "host/runtime_settings.hpp"
#include "host/temporary_folder.hpp"
#include "model/aoti_host_check.hpp"
#include "model/archive_check.hpp"
#include "model/archive_metadata.hpp"
#include "model/fallback.hpp"
#include "model/zip_directory.hpp"
#include "operators/operators.hpp"
#include "potential.hpp"
#include "spec/elements.hpp"
#include "spec/model_files.hpp"
#include "spec/param_file.hpp"
#include "torchml/common/error.hpp"

namespace py = pybind11;

namespace torchml {
namespace {

/// Neighbour lists in compressed rows.
class RowNeighbors final : public NeighborSource {
 public:
  RowNeighbors(std::span<std::int64_t const> offsets, std::span<int const> neighbors)
      : offsets_(offsets), neighbors_(neighbors) {}
  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    return neighbors_.subspan(offsets_[particle], offsets_[particle + 1] - offsets_[particle]);
  }

 private:
  std::span<std::int64_t const> offsets_;
  std::span<int const> neighbors_;
};

/// A system over numpy arrays, which must outlive it. Throws Error when the sizes do not fit.
struct ArraySystem {
  ArraySystem(std::span<int const> species, Array<double> const& coordinates,
              Array<int> const& contributing, Array<std::int64_t> const& offsets,
              Array<int> const& list)
      : rows(span_of(offsets), span_of(list)),
        system{species, span_of(coordinates), span_of(contributing), &rows} {
    auto const particles = static_cast<std::size_t>(contributing.size());
    auto const expected_rows = static_cast<py::ssize_t>(particles);
    if (coordinates.ndim() != 2 || coordinates.shape(0) != expected_rows ||
        coordinates.shape(1) != 3)
      throw Error("coordinates do not fit, expected an array of shape [" +
                  std::to_string(particles) + ", 3]");
    auto const row = span_of(offsets);
    if (row.size() != particles + 1 || row.front() != 0 ||
        row.back() != static_cast<std::int64_t>(list.size()) ||
        !std::is_sorted(row.begin(), row.end()))
      throw Error("neighbor_offsets do not fit, expected " + std::to_string(particles + 1) +
                  " ascending numbers from 0 to the number of neighbours");
  }
  ArraySystem(ArraySystem const&) = delete;
  ArraySystem& operator=(ArraySystem const&) = delete;

  RowNeighbors rows;
  System system;
};

ModelFiles model_files_in(std::filesystem::path const& folder) {
  std::vector<std::filesystem::path> files;
  for (auto const& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::ranges::sort(files);
  try {
    return read_model_files(files);
  } catch (Error const& error) {
    throw Error(folder.string() + ": " + error.what());
  }
}

/// A potential with the evaluator of this Python object. Calls may come from any thread; they
/// wait for each other.
class PyPotential {
 public:
  PyPotential(std::string const& model, std::map<std::string, std::string> const& fields,
              std::string const& device)
      : potential_(std::make_shared<Potential const>(options(model, fields, device))),
        evaluator_(*potential_) {}

  /// The same opened model with an evaluator of its own.
  explicit PyPotential(std::shared_ptr<Potential const> potential)
      : potential_(std::move(potential)), evaluator_(*potential_) {}

  [[nodiscard]] std::unique_ptr<PyPotential> copy() const {
    return std::make_unique<PyPotential>(potential_);
  }

  [[nodiscard]] Potential const& potential() const { return *potential_; }

  py::dict evaluate(Array<int> const& species, Array<double> const& coordinates,
                    Array<int> const& contributing, Array<std::int64_t> const& offsets,
                    Array<int> const& list, std::optional<Array<int>> const& image_of,
                    Request const& request) {
    if (species.size() != contributing.size())
      throw Error("species has " + std::to_string(species.size()) + " elements and contributing " +
                  std::to_string(contributing.size()) + ", expected one each per particle");
    ArraySystem arrays(span_of(species), coordinates, contributing, offsets, list);
    if (image_of) arrays.system.owners = span_of(*image_of);
    Result result;
    {
      py::gil_scoped_release const release;
      std::scoped_lock const one_at_a_time(mutex_);
      evaluator_.evaluate(arrays.system, request, result);
    }
    auto const particles = static_cast<py::ssize_t>(species.size());
    py::dict answer;
    if (request.energy) answer["energy"] = result.energy;
    if (request.particle_energies)
      answer["particle_energies"] = to_array(result.particle_energies, {particles});
    if (request.forces) answer["forces"] = to_array(result.forces, {particles, 3});
    if (request.virial) answer["virial"] = py::array_t<double>(6, result.kim_virial.data());
    if (request.particle_virials)
      answer["particle_virials"] = to_array(result.kim_particle_virials, {particles, 6});
    if (request.edge_terms) answer["edge_terms"] = edge_terms(result);
    if (request.members) {
      auto const& members = result.members;
      py::ssize_t const count = members.count;
      answer["member_energies"] = to_array(members.energies, {count});
      answer["member_particle_energies"] = to_array(members.particle_energies, {count, particles});
      if (request.forces) answer["member_forces"] = to_array(members.forces, {count, particles, 3});
    }
    return answer;
  }

 private:
  static PotentialOptions options(std::string const& model,
                                  std::map<std::string, std::string> const& fields,
                                  std::string const& device) {
    PotentialOptions options;
    options.model = model;
    options.settings = RuntimeSettings::from_environment();
    options.settings.device = device;
    if (std::filesystem::is_directory(model)) {
      auto files = model_files_in(model);
      auto const reason = replace_unfit_archive(files, options.settings);
      if (!reason.empty() && PyErr_WarnEx(PyExc_UserWarning, reason.c_str(), 1) != 0)
        throw py::error_already_set();
      options.model = files.model;
      options.declared = std::move(files.declared);
    }
    if (!fields.empty()) options.declared.push_back({"the arguments given", fields});
    return options;
  }

  static py::dict edge_terms(Result const& result) {
    auto const count = static_cast<py::ssize_t>(result.edge_terms.size());
    py::array_t<int> i(count);
    py::array_t<int> j(count);
    py::array_t<double> r(count);
    py::array_t<double> dedr(count);
    py::array_t<double> vector(std::vector<py::ssize_t>{count, 3});
    for (py::ssize_t e = 0; e < count; ++e) {
      auto const& term = result.edge_terms[e];
      i.mutable_at(e) = term.i;
      j.mutable_at(e) = term.j;
      r.mutable_at(e) = term.r;
      dedr.mutable_at(e) = term.dedr;
      for (int axis = 0; axis < 3; ++axis) vector.mutable_at(e, axis) = term.vector[axis];
    }
    py::dict terms;
    terms["i"] = i;
    terms["j"] = j;
    terms["r"] = r;
    terms["vector"] = vector;
    terms["dedr"] = dedr;
    return terms;
  }

  std::shared_ptr<Potential const> potential_;
  Evaluator evaluator_;
  std::mutex mutex_;
};

ShellGraph shell_graph(Array<double> const& coordinates, Array<int> const& contributing,
                       Array<std::int64_t> const& offsets, Array<int> const& list, double cutoff,
                       int layers) {
  std::vector<int> const species(contributing.size(), 0);
  ArraySystem const arrays(species, coordinates, contributing, offsets, list);
  if (!(cutoff > 0.0)) throw Error("cutoff is not a positive length, expected a number of Å");
  if (layers < 1) throw Error("layers is " + std::to_string(layers) + ", expected at least 1");
  CachedNeighbors lists;
  lists.rebuild(arrays.system, cutoff, layers);
  ShellGraph graph;
  graph.build(arrays.system, lists, cutoff, layers);
  return graph;
}

py::dict dict_of(MetadataKey const& key) {
  py::list aliases;
  if (!key.alias.empty()) aliases.append(key.alias);
  py::list choices;
  py::dict choice_aliases;
  for (auto const& choice : key.choices) {
    choices.append(choice.name);
    if (!choice.alias.empty()) choice_aliases[py::str(choice.alias)] = choice.name;
  }
  py::dict entry;
  entry["name"] = key.name;
  entry["aliases"] = aliases;
  entry["kind"] = std::string(to_string(key.kind));
  entry["choices"] = choices;
  entry["choice_aliases"] = choice_aliases;
  entry["place"] = std::string(to_string(key.place));
  entry["meaning"] = key.meaning;
  return entry;
}

py::dict dict_of(Metadata const& metadata) {
  py::dict values;
  for (auto const& [key, field] : metadata) values[py::str(key)] = py::cast(field.value);
  return values;
}

py::dict dict_of(Launcher const& launcher) {
  py::dict entry;
  entry["name"] = launcher.name;
  entry["local_rank"] = launcher.local_rank;
  entry["local_size"] = launcher.local_size;
  entry["rank"] = launcher.rank;
  entry["size"] = launcher.size;
  return entry;
}

template <class Entry>
py::list list_of(std::vector<Entry> const& entries) {
  py::list list;
  for (auto const& entry : entries) list.append(dict_of(entry));
  return list;
}

/// A function that raises with the reason, if there is one, why an archive must not be read.
void def_check(py::module_& module, char const* name, void (*check)(std::istream&)) {
  module.def(
      name,
      [check](py::bytes const& content) {
        std::istringstream stream{std::string(content)};
        check(stream);
      },
      py::arg("content"));
  module.def(
      name,
      [check](std::string const& path) {
        std::ifstream stream(path, std::ios::binary);
        check(stream);
      },
      py::arg("path"));
}

}  // namespace
}  // namespace torchml

PYBIND11_MODULE(_core, module) {
  using namespace torchml;
  module.doc() = "The TorchML engine: the same C++ code that runs inside KIM simulators.";
  // The same class for both modules.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> error;
  error.call_once_and_store_result(
      [] { return py::object(py::module_::import("torchml._descriptors").attr("Error")); });
  module.attr("Error") = error.get_stored();
  py::register_local_exception_translator([](std::exception_ptr raised) {
    try {
      std::rethrow_exception(std::move(raised));
    } catch (Error const& exception) {
      // A message may quote bytes of a damaged file, which are no text.
      std::string_view const message = exception.what();
      auto const size = static_cast<py::ssize_t>(message.size());
      py::set_error(error.get_stored(), py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
                                            message.data(), size, "backslashreplace")));
    }
  });

  register_operators();

  py::class_<ModelSpec>(module, "ModelSpec", "What a model declares about itself.")
      .def_readonly("species", &ModelSpec::species)
      .def_readonly("cutoff", &ModelSpec::cutoff, "Å")
      .def_readonly("layers", &ModelSpec::layers)
      .def_property_readonly("shell_cutoffs", &ModelSpec::cutoffs,
                             "lengths of the edges into the atoms of each shell, Å")
      .def_property_readonly("influence_distance", &ModelSpec::influence_distance, "Å")
      .def_property_readonly(
          "convention", [](ModelSpec const& s) { return std::string(to_string(s.convention)); })
      .def_property_readonly("dtype",
                             [](ModelSpec const& s) { return std::string(to_string(s.dtype)); })
      .def_property_readonly(
          "input_dtype", [](ModelSpec const& s) { return std::string(to_string(s.input_type())); },
          "element type of forward's arguments")
      .def_property_readonly(
          "species_input",
          [](ModelSpec const& s) { return std::string(to_string(s.species_input)); })
      .def_readonly("directed", &ModelSpec::directed)
      .def_readonly("returns_forces", &ModelSpec::returns_forces)
      .def_readonly("members", &ModelSpec::members, "of a committee; 0 for one model")
      .def_readonly("radial", &ModelSpec::radial)
      .def_readonly("extensions", &ModelSpec::extensions)
      .def_property_readonly("descriptor", [](ModelSpec const& s) { return s.descriptor; });

  py::class_<PyPotential>(module, "Potential", "A model ready to evaluate particles.")
      .def(py::init<std::string const&, std::map<std::string, std::string> const&,
                    std::string const&>(),
           py::arg("model"), py::arg("fields") = std::map<std::string, std::string>{},
           py::arg("device") = "cpu")
      .def_property_readonly("spec", [](PyPotential const& p) { return p.potential().spec(); })
      .def_property_readonly("device", [](PyPotential const& p) { return p.potential().device(); })
      .def_property_readonly(
          "energy_kind",
          [](PyPotential const& p) { return std::string(to_string(p.potential().energy_kind())); })
      .def_property_readonly("argument_names",
                             [](PyPotential const& p) { return p.potential().argument_names(); })
      .def("copy", &PyPotential::copy, "The same opened model, for another thread.")
      .def(
          "evaluate",
          [](PyPotential& p, Array<int> const& species, Array<double> const& coordinates,
             Array<int> const& contributing, Array<std::int64_t> const& offsets,
             Array<int> const& list, std::optional<Array<int>> const& image_of, bool energy,
             bool particle_energies, bool forces, bool virial, bool particle_virials,
             bool edge_terms, bool members) {
            return p.evaluate(
                species, coordinates, contributing, offsets, list, image_of,
                {energy, particle_energies, forces, virial, particle_virials, edge_terms, members});
          },
          py::arg("species"), py::arg("coordinates"), py::arg("contributing"),
          py::arg("neighbor_offsets"), py::arg("neighbors"), py::kw_only(),
          py::arg("image_of") = py::none(), py::arg("energy") = true,
          py::arg("particle_energies") = false, py::arg("forces") = true, py::arg("virial") = false,
          py::arg("particle_virials") = false, py::arg("edge_terms") = false,
          py::arg("members") = false);

  module.def(
      "shell_graph",
      [](Array<double> const& coordinates, Array<int> const& contributing,
         Array<std::int64_t> const& offsets, Array<int> const& list, double cutoff, int layers) {
        auto const graph = shell_graph(coordinates, contributing, offsets, list, cutoff, layers);
        auto const edges = static_cast<py::ssize_t>(graph.sources.size());
        auto index = graph.sources;
        index.insert(index.end(), graph.targets.begin(), graph.targets.end());
        py::dict answer;
        answer["nodes"] = to_array(graph.nodes, {static_cast<py::ssize_t>(graph.nodes.size())});
        answer["edge_index"] = to_array(index, {2, edges});
        answer["node_counts"] = graph.node_counts;
        answer["edge_counts"] = graph.edge_counts;
        return answer;
      },
      py::arg("coordinates"), py::arg("contributing"), py::arg("neighbor_offsets"),
      py::arg("neighbors"), py::arg("cutoff"), py::arg("layers"));

  module.def(
      "staged_graph",
      [](Array<double> const& coordinates, Array<int> const& contributing,
         Array<std::int64_t> const& offsets, Array<int> const& list, double cutoff, int layers,
         bool directed) {
        auto const graph = shell_graph(coordinates, contributing, offsets, list, cutoff, layers);
        std::vector<EdgeIndex> stages;
        stage_edges(graph, directed, stages);
        py::list answer;
        for (auto& stage : stages) {
          for (auto& node : stage) node = graph.nodes[node];
          answer.append(to_array(stage, {2, static_cast<py::ssize_t>(stage.size() / 2)}));
        }
        return answer;
      },
      py::arg("coordinates"), py::arg("contributing"), py::arg("neighbor_offsets"),
      py::arg("neighbors"), py::arg("cutoff"), py::arg("layers"), py::arg("directed") = false);

  module.def("atomic_number", [](std::string const& symbol) {
    if (auto const number = atomic_number(symbol)) return *number;
    throw Error("'" + symbol + "' is no chemical symbol, expected one from H to Og");
  });
  module.def("read_param_file",
             [](std::string const& path) { return read_param_file(path).fields; });
  module.def("archive_of_folder",
             [](std::string const& folder) { return model_files_in(folder).model.string(); });
  module.def("read_metadata", [](std::string const& path) { return read_metadata(path).fields; });
  def_check(module, "check_archive", check_archive);
  def_check(module, "check_zip", [](std::istream& stream) { read_zip_directory(stream); });
  module.def(
      "metadata_keys", [] { return list_of(metadata_keys()); },
      "All keys that a model's metadata can have, as dictionaries.");
  module.def(
      "parse_metadata",
      [](std::map<std::string, std::string> const& fields, std::string const& source) {
        return dict_of(merge_metadata({{source, fields}}));
      },
      py::arg("fields"), py::arg("source") = "the metadata",
      "Values of texts, by the present names of their keys; empty texts are left out.");
  module.def(
      "merge_metadata",
      [](std::vector<std::pair<std::string, std::map<std::string, std::string>>> const& declared) {
        std::vector<Declaration> declarations;
        for (auto const& [source, fields] : declared) declarations.push_back({source, fields});
        return dict_of(merge_metadata(declarations));
      },
      py::arg("declarations"),
      "Values of texts from several sources; raises when two sources contradict each other.");
  module.def(
      "metadata_files",
      [](std::map<std::string, std::string> const& fields, std::string const& source) {
        return metadata_files({source, fields});
      },
      py::arg("fields"), py::arg("source") = "the metadata",
      "Extra files of an archive, text by name, in words that drivers of all versions read.");
  module.def("metadata_key_of_file", &key_of_file, py::arg("file"),
             "The key in an extra file of that name, or an empty text.");
  module.def(
      "launchers", [] { return list_of(launchers()); },
      "Names of the variables in which launchers give a process its rank, as dictionaries.");
  module.def(
      "require_fit",
      [](std::string const& path, std::string const& device) {
        require_fit(read_metadata(path), torch::Device(device));
        require_temporary_folder(path);
      },
      py::arg("path"), py::arg("device") = "cpu",
      "Refuses a compiled archive that this processor, libtorch or device cannot run, or that "
      "cannot be unpacked.");
}
