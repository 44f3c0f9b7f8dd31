#include "inputs/inputs.hpp"

#include "torchml/common/error.hpp"

namespace torchml {
namespace {

void check_number_of_arguments(InputSettings const& settings) {
  auto const& spec = settings.spec;
  auto const count = settings.argument_names.size();
  std::size_t minimum = 0;
  std::size_t maximum = 0;
  std::string form;
  switch (spec.convention) {
    case Convention::raw:
      minimum = maximum = 5;
      form = "(species, coords, n_neigh, nlist, contributing)";
      break;
    case Convention::graph:
      minimum = maximum = 3 + static_cast<std::size_t>(spec.layers);
      form = "(species, coords, edge_index0..edge_index" + std::to_string(spec.layers - 1) +
             ", contributing)";
      break;
    case Convention::edges:
      minimum = 4;
      maximum = 6;
      form = "(species, edge_vectors, edge_index, contributing[, node_counts][, edge_counts])";
      break;
    case Convention::descriptor:
      minimum = 1;
      maximum = 2;
      form = "(descriptor[, species])";
      break;
  }
  auto const convention = std::string(to_string(spec.convention));
  if (count < minimum || count > maximum)
    throw Error("forward takes " + std::to_string(count) + " arguments, expected " + form +
                " for the convention '" + convention + "'");
  if (spec.number_of_inputs != 0 && spec.number_of_inputs != static_cast<int>(count))
    throw Error("the .param file announces " + std::to_string(spec.number_of_inputs) +
                " inputs but forward takes " + std::to_string(count) + ", expected " + form +
                " for the convention '" + convention + "'");
}

}  // namespace

std::unique_ptr<InputBuilder> make_input_builder(InputSettings settings) {
  check_number_of_arguments(settings);
  switch (settings.spec.convention) {
    case Convention::raw:
      return make_raw_inputs(std::move(settings));
    case Convention::graph:
      return make_graph_inputs(std::move(settings));
    case Convention::edges:
      return make_edge_inputs(std::move(settings));
    case Convention::descriptor:
      return make_descriptor_inputs(std::move(settings));
  }
  throw Error("the model has no convention, expected one");
}

}  // namespace torchml
