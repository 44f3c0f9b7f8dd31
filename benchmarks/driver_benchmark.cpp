// Times the engine's evaluation of rattled silicon against the model's own forward and backward on
// the very inputs the engine prepares, in turn.
//   driver_benchmark MODEL CELLS ROUNDS
// Prints one JSON object for each round (CPU time, ms): evaluate, everything the engine does for
// one step; model, forward and backward alone; build and pull_back, the engine's two largest parts.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "cpu_time.hpp"
#include "inputs/inputs.hpp"
#include "model/load_model.hpp"
#include "potential.hpp"
#include "silicon.hpp"

namespace {

/// The inputs of one call, and how to differentiate it.
struct Prepared {
  torchml::ModelInputs inputs;
  torch::Tensor weights;  ///< 1 for contributing rows of the energy, 0 for the others
};

torchml::InputSettings settings_of(torchml::Potential const& potential) {
  return {.spec = potential.spec(),
          .species_codes = {0},
          .descriptor = nullptr,
          .argument_names = potential.argument_names()};
}

torch::Tensor differentiate(torchml::Model const& model, Prepared const& prepared) {
  auto const output = model.forward(prepared.inputs.arguments);
  if (output.derivative.defined()) return output.derivative.to(torch::kFloat64);
  return torch::autograd::grad({output.energy}, {prepared.inputs.differentiable},
                               {prepared.weights.to(output.energy.dtype())})[0]
      .to(torch::kFloat64);
}

void run(char const* path, int cells, int rounds) {
  at::set_num_threads(1);
  benchmark::Silicon const silicon(cells);
  auto const system = silicon.system();

  torchml::Potential const potential(
      {.model = path, .settings = torchml::RuntimeSettings::from_environment()});
  auto const model = torchml::load_model(path, {}, torch::kCPU);
  torchml::Evaluator evaluator(potential);
  torchml::Request const request{.energy = false};  // as LAMMPS asks between two lines of output
  torchml::Result result;

  auto const builder = torchml::make_input_builder(settings_of(potential));
  auto const again = torchml::make_input_builder(settings_of(potential));
  Prepared prepared;
  prepared.inputs = builder->build(system, true);
  prepared.weights = torch::zeros({prepared.inputs.particles},
                                  prepared.inputs.differentiable.options().requires_grad(false));
  prepared.weights.index_fill_(0, prepared.inputs.contributing_rows, 1.0);

  torch::Tensor derivative;
  auto const evaluate = [&] { evaluator.evaluate(system, request, result); };
  auto const bare = [&] { derivative = differentiate(*model, prepared); };
  auto const build = [&] { again->build(system, true); };
  torchml::Result copy;
  auto const pull_back = [&] {
    copy.clear(system.size(), request);
    builder->pull_back(system, derivative, request, copy);
  };

  evaluate();
  bare();
  pull_back();
  if (result.forces != copy.forces) throw std::runtime_error("the two ways give different forces");
  for (int round = 0; round < rounds; ++round) {
    // First and second in turn, since the second finds warmer caches.
    double whole = 0.0;
    double alone = 0.0;
    if (round % 2 == 0) whole = benchmark::cpu_time(evaluate);
    alone = benchmark::cpu_time(bare);
    if (round % 2 != 0) whole = benchmark::cpu_time(evaluate);
    double const building = benchmark::cpu_time(build);
    double const pulling_back = benchmark::cpu_time(pull_back);
    std::printf("{\"evaluate\": %.6f, \"model\": %.6f, \"build\": %.6f, \"pull_back\": %.6f}\n",
                whole, alone, building, pulling_back);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: driver_benchmark MODEL CELLS ROUNDS\n");
    return 2;
  }
  try {
    run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]));
    return 0;
  } catch (std::exception const& exception) {
    std::fprintf(stderr, "%s\n", exception.what());
    return 1;
  }
}
