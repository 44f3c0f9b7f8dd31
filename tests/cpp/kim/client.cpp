// A small simulator, for valgrind: CLIENT MODEL creates the model, computes a cluster of silicon
// with a ghost in several steps and two sets of arguments, and destroys it. Prints the last energy.
#include <KIM_SimulatorHeaders.hpp>
#include <array>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int particles = 8;
using Lists = std::array<std::vector<int>, particles>;

void require(int error, char const* what) {
  if (error != 0) throw std::runtime_error(std::string(what) + " failed");
}

int get_neighbors(void* data, int /*lists*/, double const* /*cutoffs*/, int /*list*/, int particle,
                  int* count, int const** neighbors) {
  auto const& list = (*static_cast<Lists*>(data))[static_cast<std::size_t>(particle)];
  *count = static_cast<int>(list.size());
  *neighbors = list.data();
  return 0;
}

double compute(KIM::Model const& model) {
  int supported = 0;
  int code = 0;
  require(model.GetSpeciesSupportAndCode(KIM::SPECIES_NAME::Si, &supported, &code), "the species");
  int count = particles;
  std::vector<int> const species(particles, code);
  std::vector<int> contributing(particles, 1);
  contributing.back() = 0;
  std::vector<double> coordinates(3 * particles);
  std::vector<double> forces(3 * particles);
  std::vector<double> energies(particles);
  std::array<double, 6> virial{};
  double energy = 0.0;
  Lists lists;
  for (int i = 0; i < particles; ++i)
    for (int j = 0; j < particles; ++j)
      if (i != j) lists[static_cast<std::size_t>(i)].push_back(j);

  KIM::ComputeArguments* arguments = nullptr;
  require(model.ComputeArgumentsCreate(&arguments), "ComputeArgumentsCreate");
  namespace name = KIM::COMPUTE_ARGUMENT_NAME;
  require(arguments->SetArgumentPointer(name::numberOfParticles, &count) ||
              arguments->SetArgumentPointer(name::particleSpeciesCodes, species.data()) ||
              arguments->SetArgumentPointer(name::particleContributing, contributing.data()) ||
              arguments->SetArgumentPointer(name::coordinates, coordinates.data()) ||
              arguments->SetArgumentPointer(name::partialEnergy, &energy) ||
              arguments->SetArgumentPointer(name::partialForces, forces.data()) ||
              arguments->SetArgumentPointer(name::partialParticleEnergy, energies.data()) ||
              arguments->SetArgumentPointer(name::partialVirial, virial.data()) ||
              arguments->SetCallbackPointer(
                  KIM::COMPUTE_CALLBACK_NAME::GetNeighborList, KIM::LANGUAGE_NAME::cpp,
                  reinterpret_cast<KIM::Function*>(&get_neighbors), &lists),
          "setting an argument");
  for (int step = 0; step < 3; ++step) {
    for (std::size_t k = 0; k < coordinates.size(); ++k)  // corners of a cube, which move
      coordinates[k] =
          2.35 * ((k / 3 >> k % 3) & 1) + 0.05 * std::sin(7.0 * static_cast<double>(k) + step);
    require(model.Compute(arguments), "Compute");
  }
  require(model.ComputeArgumentsDestroy(&arguments), "ComputeArgumentsDestroy");
  return energy;
}

double run(std::string const& name) {
  int accepted = 0;
  KIM::Model* model = nullptr;
  require(KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV,
                             KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps,
                             name, &accepted, &model),
          "Create");
  compute(*model);
  double const energy = compute(*model);
  KIM::Model::Destroy(&model);
  return energy;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("expected the name of a model");
    std::printf("%.9f eV\n", run(argv[1]));
    return 0;
  } catch (std::exception const& exception) {
    std::fprintf(stderr, "%s\n", exception.what());
    return 1;
  }
}
