#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "host/threads.hpp"
#include "periodic.hpp"
#include "support.hpp"

namespace torchml::test::potential_tests {
namespace {

std::map<std::string, std::string> const raw = {
    {"convention", "none"}, {"species", "Si O"}, {"cutoff", "2.0"}};
std::map<std::string, std::string> const edges = {
    {"convention", "edges"}, {"species", "Si O"}, {"cutoff", "2.0"}, {"layers", "2"}};
std::map<std::string, std::string> const graph = {
    {"convention", "graph"}, {"species", "Si O"}, {"cutoff", "2.0"}, {"layers", "2"}};

std::map<std::string, std::string> const descriptor = {
    {"convention", "descriptor"},
    {"descriptor", "SymmetryFunctions"},
    {"descriptor_parameters", symmetry_functions}};

std::map<std::string, std::string> with(std::map<std::string, std::string> fields,
                                        std::string const& key, std::string const& value) {
  fields[key] = value;
  return fields;
}

std::string const raw_head = "def forward(self, species, coords, n_neigh, nlist, contributing):\n";

/// sum over pairs of (2 - r)^2 with a species factor, per contributing atom.
std::string const raw_pairs = raw_head + R"(
    owners = torch.repeat_interleave((contributing > 0).nonzero().squeeze(1), n_neigh.long())
    vectors = coords.index_select(0, nlist.long()) - coords.index_select(0, owners)
    r = vectors.norm(2, 1)
    pair = self.w * (2.0 - r) ** 2 * (1.0 + species.index_select(0, nlist.long()))
    energy = torch.zeros(coords.size(0), dtype=coords.dtype).index_add(0, owners, pair)
    return energy
)";

/// Two layers: the first counts neighbours smoothly, the second weighs pairs by the counts.
std::string const edge_layers =
    "def forward(self, species, edge_vectors, edge_index, contributing):\n"
    R"(
    source = edge_index[0]
    target = edge_index[1]
    r = edge_vectors.norm(2, 1)
    bond = self.w * (2.0 - r) ** 2
    density = torch.zeros(species.size(0), dtype=r.dtype).index_add(0, target, bond)
    message = bond * (1.0 + density.index_select(0, source)) * (1.0 + species.index_select(0, source))
    return torch.zeros(species.size(0), dtype=r.dtype).index_add(0, target, message)
)";

std::string const graph_layers =
    "def forward(self, species, coords, edge_index0, edge_index1, contributing):\n"
    R"(
    outer = edge_index1
    r = (coords.index_select(0, outer[0]) - coords.index_select(0, outer[1])).norm(2, 1)
    density = torch.zeros(species.size(0), dtype=r.dtype).index_add(0, outer[1], self.w * (2.0 - r) ** 2)
    inner = edge_index0
    r = (coords.index_select(0, inner[0]) - coords.index_select(0, inner[1])).norm(2, 1)
    message = self.w * (2.0 - r) ** 2 * (1.0 + density.index_select(0, inner[0])) * (1.0 + species.index_select(0, inner[0]))
    return torch.zeros(species.size(0), dtype=r.dtype).index_add(0, inner[1], message)
)";

std::string const descriptor_alone =
    "def forward(self, descriptor):\n    return self.w * (descriptor ** 2).sum(1, True)\n";

std::string const descriptor_with_species =
    "def forward(self, descriptor, species):\n"
    "    return self.w * (1.0 + species) * (descriptor ** 2).sum(1)\n";

Request const everything = {.energy = true,
                            .particle_energies = true,
                            .forces = true,
                            .virial = true,
                            .particle_virials = true};

Result evaluate(fs::path const& model, Particles const& particles,
                Request const& request = everything) {
  Potential const potential({.model = model});
  Result result;
  Evaluator(potential).evaluate(particles.view(), request, result);
  return result;
}

Particles sample(int ghosts = 8) {
  auto particles = random_particles(24, 4.5, ghosts, 5);
  particles.list_neighbors(2.6);
  return particles;
}

void expect_forces_are_derivatives(fs::path const& model, Particles particles) {
  auto const forces = evaluate(model, particles).forces;
  double const h = 1e-5;
  for (std::size_t c = 0; c < particles.coordinates.size(); c += 5) {
    double const x = particles.coordinates[c];
    particles.coordinates[c] = x + h;
    double const plus = evaluate(model, particles, {.forces = false}).energy;
    particles.coordinates[c] = x - h;
    double const minus = evaluate(model, particles, {.forces = false}).energy;
    particles.coordinates[c] = x;
    EXPECT_NEAR(forces[c], -(plus - minus) / (2 * h), 1e-6) << "component " << c;
  }
}

void expect_virial_is_strain_derivative(fs::path const& model, Particles const& particles) {
  auto const result = evaluate(model, particles);
  constexpr std::array<std::array<int, 2>, 6> voigt = {
      {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}}};
  double const h = 1e-5;
  for (std::size_t c = 0; c < 6; ++c) {
    double energy[2];
    for (int side = 0; side < 2; ++side) {
      auto strained = particles;
      double const e = (side == 0 ? h : -h) * (c < 3 ? 1.0 : 0.5);
      auto const [a, b] = voigt[c];
      for (std::size_t i = 0; i < particles.species.size(); ++i) {
        strained.coordinates[3 * i + a] += e * particles.coordinates[3 * i + b];
        if (a != b) strained.coordinates[3 * i + b] += e * particles.coordinates[3 * i + a];
      }
      energy[side] = evaluate(model, strained, {.forces = false}).energy;
    }
    EXPECT_NEAR(result.kim_virial[c], (energy[0] - energy[1]) / (2 * h), 2e-5) << "component " << c;
    double sum = 0.0;
    for (std::size_t i = 0; i < particles.species.size(); ++i)
      sum += result.kim_particle_virials[6 * i + c];
    EXPECT_NEAR(sum, result.kim_virial[c], 1e-10);
  }
}

struct Case {
  char const* name;
  std::string forward;
  std::map<std::string, std::string> metadata;
};

void PrintTo(Case const& one, std::ostream* out) {
  *out << one.name;
}

class Conventions : public testing::TestWithParam<Case> {};

TEST_P(Conventions, ForcesVirialsAndParticleEnergiesBelongToTheEnergy) {
  TemporaryFolder const folder;
  auto const model = write_model(folder, GetParam().forward, GetParam().metadata);
  auto const particles = sample();
  expect_forces_are_derivatives(model, particles);
  expect_virial_is_strain_derivative(model, particles);
  auto const result = evaluate(model, particles);
  double sum = 0.0;
  for (std::size_t i = 0; i < particles.species.size(); ++i) {
    if (particles.contributing[i] == 0) {
      EXPECT_EQ(result.particle_energies[i], 0.0);
    }
    sum += result.particle_energies[i];
  }
  EXPECT_NEAR(sum, result.energy, 1e-12);
}

TEST_P(Conventions, HalvesOfADomainAddUpToTheWhole) {
  TemporaryFolder const folder;
  auto const model = write_model(folder, GetParam().forward, GetParam().metadata);
  auto whole = sample(0);
  auto const expected = evaluate(model, whole);
  auto first = whole;
  auto second = whole;
  for (std::size_t i = 0; i < whole.species.size(); ++i) {
    first.contributing[i] = whole.coordinates[3 * i] < 2.0 ? 1 : 0;
    second.contributing[i] = 1 - first.contributing[i];
  }
  auto const a = evaluate(model, first);
  auto const b = evaluate(model, second);
  EXPECT_NEAR(a.energy + b.energy, expected.energy, 1e-11);
  for (std::size_t c = 0; c < expected.forces.size(); ++c)
    EXPECT_NEAR(a.forces[c] + b.forces[c], expected.forces[c], 1e-11);
  for (std::size_t i = 0; i < whole.species.size(); ++i)
    EXPECT_NEAR(a.particle_energies[i] + b.particle_energies[i], expected.particle_energies[i],
                1e-11);
}

/// Three atoms in a box that is smaller than the cutoff along one axis.
PeriodicSystem small_box(bool slab) {
  PeriodicSystem system;
  system.box = {{{1.7, 0.0, 0.0}, {0.0, 3.1, 0.0}, {0.0, 0.0, 2.6}}};
  system.periodic[2] = !slab;
  system.atoms = {0.2, 0.3, 0.1, 1.0, 1.4, 0.9, 0.5, 2.5, 1.8};
  system.atom_species = {0, 1, 0};
  system.surround(4.0, 2.5);
  return system;
}

TEST_P(Conventions, ResultsOfImagesAreGivenToTheirOwners) {
  TemporaryFolder const folder;
  Potential const potential(
      {.model = write_model(folder, GetParam().forward, GetParam().metadata)});
  for (bool const slab : {false, true}) {
    auto const system = small_box(slab);
    Result separate;
    Result given;
    Evaluator(potential).evaluate(system.view(), everything, separate);
    Evaluator(potential).evaluate(system.view_with_owners(), everything, given);
    EXPECT_NEAR(given.energy, separate.energy, 1e-11);
    for (int c = 0; c < 6; ++c) EXPECT_NEAR(given.kim_virial[c], separate.kim_virial[c], 1e-10);
    auto const expect_reduced = [&](std::vector<double> values, std::vector<double> const& sums,
                                    std::size_t width) {
      auto right = system.reduced(sums, width);
      right.resize(values.size(), 0.0);
      for (std::size_t i = 0; i < right.size(); ++i) EXPECT_NEAR(values[i], right[i], 1e-10);
    };
    expect_reduced(given.particle_energies, separate.particle_energies, 1);
    expect_reduced(given.forces, separate.forces, 3);
    expect_reduced(given.kim_particle_virials, separate.kim_particle_virials, 6);
  }
}

TEST_P(Conventions, EmptyAndLonelySystemsAreNormal) {
  TemporaryFolder const folder;
  auto const model = write_model(folder, GetParam().forward, GetParam().metadata);
  EXPECT_EQ(evaluate(model, Particles{}).energy, 0.0);
  auto ghosts = sample(24);
  EXPECT_EQ(evaluate(model, ghosts).energy, 0.0);
  EXPECT_EQ(evaluate(model, ghosts).forces, std::vector<double>(72, 0.0));
  for (int const count : {1, 3}) {
    Particles far;
    for (int i = 0; i < count; ++i) {
      far.coordinates.insert(far.coordinates.end(), {50.0 * i, 0.0, 0.0});
      far.species.push_back(0);
      far.contributing.push_back(1);
    }
    far.list_neighbors(2.0);
    auto const result = evaluate(model, far);
    EXPECT_EQ(result.energy, 0.0);
    EXPECT_EQ(result.forces, std::vector<double>(3 * count, 0.0));
  }
}

TEST_P(Conventions, RepeatsBitForBitFromTheFirstCallAndInThreads) {
  TemporaryFolder const folder;
  auto const model = write_model(folder, GetParam().forward, GetParam().metadata);
  Potential const potential({.model = model});
  auto const particles = sample();
  std::array<std::vector<Result>, 4> results;
  std::vector<std::thread> threads;
  for (auto& mine : results)
    threads.emplace_back([&] {
      Evaluator evaluator(potential);
      for (int call = 0; call < 5; ++call) {
        mine.emplace_back();
        evaluator.evaluate(particles.view(), everything, mine.back());
      }
    });
  for (auto& thread : threads) thread.join();
  for (auto const& mine : results)
    for (auto const& result : mine) {
      EXPECT_EQ(result.energy, results[0][0].energy);
      EXPECT_EQ(result.forces, results[0][0].forces);
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, Conventions,
    testing::Values(Case{"raw", raw_pairs, raw}, Case{"edges", edge_layers, edges},
                    Case{"symmetric", graph_layers, graph},
                    Case{"directed", graph_layers, with(graph, "edges", "directed")},
                    Case{"descriptor", descriptor_alone, descriptor},
                    Case{"descriptor_of_species", descriptor_with_species, descriptor}),
    [](auto const& info) { return info.param.name; });

TEST(Potential, OwnersMustBeContributingParticlesOfTheSameSpecies) {
  TemporaryFolder const folder;
  Potential const potential({.model = write_model(folder, edge_layers, edges)});
  Evaluator evaluator(potential);
  auto const system = small_box(false);
  auto const error = [&](std::size_t particle, int owner) {
    auto owners = system.image_of;
    owners[particle] = owner;
    auto view = system.view();
    view.owners = owners;
    Result result;
    return error_of([&] { evaluator.evaluate(view, {}, result); });
  };
  auto const last = system.species.size() - 1;
  EXPECT_EQ(error(last, system.image_of[last]), "");
  for (int const owner : {-1, static_cast<int>(last) + 1, 3, 1 - system.species[last]})
    EXPECT_EQ(error(last, owner), "particle " + std::to_string(last) +
                                      " is given as an image of particle " + std::to_string(owner) +
                                      ", expected a contributing particle of the same species, "
                                      "and itself for one that contributes");
  EXPECT_TRUE(contains(error(0, 2), "itself for one that contributes"));
  auto view = system.view();
  std::vector<int> const few(4, 0);
  view.owners = few;
  Result result;
  EXPECT_TRUE(contains(error_of([&] { evaluator.evaluate(view, {}, result); }),
                       "there are owners of 4 particles, expected those of all"));
}

TEST(Potential, GraphAndEdgesAgree) {
  TemporaryFolder const first;
  TemporaryFolder const second;
  auto const a = evaluate(write_model(first, graph_layers, graph), sample());
  auto const b = evaluate(write_model(second, edge_layers, edges), sample());
  EXPECT_NEAR(a.energy, b.energy, 1e-12);
  for (std::size_t c = 0; c < a.forces.size(); ++c) EXPECT_NEAR(a.forces[c], b.forces[c], 1e-12);
  for (std::size_t c = 0; c < 6; ++c) EXPECT_NEAR(a.kim_virial[c], b.kim_virial[c], 1e-11);
}

TEST(Potential, DescriptorAndModelMayOrderTheSpeciesDifferently) {
  TemporaryFolder const first;
  TemporaryFolder const second;
  auto particles = sample();
  auto const a = evaluate(write_model(first, descriptor_alone, descriptor), particles);
  for (int& code : particles.species) code = 1 - code;
  auto const b = evaluate(
      write_model(second, descriptor_alone, with(descriptor, "species", "O Si")), particles);
  EXPECT_GT(a.energy, 0.0);
  EXPECT_EQ(a.energy, b.energy);
  EXPECT_EQ(a.forces, b.forces);
}

TEST(Potential, DescriptorModelsMayReturnTheDerivative) {
  TemporaryFolder const first;
  TemporaryFolder const second;
  auto const a = evaluate(write_model(first, descriptor_alone, descriptor), sample());
  auto const b = evaluate(
      write_model(second,
                  "def forward(self, descriptor):\n"
                  "    return self.w * (descriptor ** 2).sum(1), 2.0 * self.w * descriptor\n",
                  descriptor),
      sample());
  for (std::size_t c = 0; c < a.forces.size(); ++c) EXPECT_NEAR(a.forces[c], b.forces[c], 1e-12);
}

TEST(Potential, ADescriptorMayBeCalledZ) {
  TemporaryFolder const folder;
  auto text = symmetry_functions;
  for (std::size_t at = 0; (at = text.find("Si", at)) != std::string::npos;)
    text.replace(at, 2, "user01");
  auto const model = write_model(folder, "def forward(self, z):\n    return self.w * z.sum(1)\n",
                                 with(descriptor, "descriptor_parameters", text));
  EXPECT_EQ(error_of([&] { Potential({.model = model}); }), "");
}

TEST(Potential, AReturnedDerivativeOfAnotherFormIsRefused) {
  TemporaryFolder const folder;
  auto const refused = [&](std::string const& derivative, std::string const& message) {
    auto const model = write_model(
        folder,
        "def forward(self, descriptor):\n    return descriptor.sum(1), " + derivative + "\n",
        descriptor);
    EXPECT_TRUE(contains(error_of([&] { Potential({.model = model}); }), message));
  };
  refused("descriptor[:, 1:]", "forces of shape [3, 3], expected [3, 4]");
  refused("descriptor.long()", "forces of type Long, expected a floating-point tensor");
}

TEST(Potential, ADescriptorOfTheWrongWidthIsRefused) {
  TemporaryFolder const folder;
  auto const model = write_model(
      folder, "def forward(self, descriptor):\n    return descriptor @ torch.ones(7, 1).double()\n",
      descriptor);
  EXPECT_TRUE(contains(error_of([&] { Potential({.model = model}); }),
                       "forward took 4 components of the descriptor"));
}

TEST(Potential, EdgeTermsGiveTheVirialOfRadialModels) {
  TemporaryFolder const folder;
  auto const particles = sample();
  auto request = everything;
  request.edge_terms = true;
  auto const model = write_model(folder, edge_layers, with(edges, "radial", "true"));
  auto const result = evaluate(model, particles, request);
  ASSERT_FALSE(result.edge_terms.empty());
  double xy = 0.0;
  for (auto const& term : result.edge_terms) {
    EXPECT_NEAR(term.r, particles.distance(term.i, term.j), 1e-14);
    xy += term.dedr / term.r * term.vector[0] * term.vector[1];
  }
  EXPECT_NEAR(xy, result.kim_virial[5], 1e-10);
  auto const plain = write_model(folder, edge_layers, edges);
  EXPECT_TRUE(contains(error_of([&] { evaluate(plain, particles, request); }), "radial"));
}

TEST(Potential, Float32ModelsAreAskedAndAnsweredInTheirOwnType) {
  TemporaryFolder const first;
  TemporaryFolder const second;
  for (auto const& [forward, metadata] :
       {std::pair{raw_pairs, raw}, {graph_layers, graph}, {edge_layers, edges}}) {
    auto const exact = evaluate(write_model(first, forward, metadata), sample());
    auto shifted = sample();
    for (auto& x : shifted.coordinates) x += 5000.0;  // float32 keeps 5e-4 Å there
    auto const single = evaluate(write_model(second, forward, metadata, torch::kFloat32), shifted);
    EXPECT_NEAR(single.energy, exact.energy, 1e-4 * std::abs(exact.energy));
    for (std::size_t c = 0; c < exact.forces.size(); ++c)
      EXPECT_NEAR(single.forces[c], exact.forces[c], 2e-3);
  }
  auto const path = write_model(second, raw_pairs, with(raw, "dtype", "float64"), torch::kFloat32);
  auto const message = error_of([&] { Potential const potential({.model = path}); });
  EXPECT_TRUE(contains(message, "'float64'") && contains(message, "'float32'")) << message;
}

TEST(Potential, FirstInputFollowsItsName) {
  std::string const body = "coords, n_neigh, nlist, contributing):\n    return self.w * FIRST\n";
  auto const energy_of = [&](std::string const& first,
                             std::map<std::string, std::string> const& metadata,
                             bool forced = false) {
    TemporaryFolder const folder;
    auto text = "def forward(self, " + first + ", " + body;
    text.replace(text.find("FIRST"), 5, first);
    Potential const potential({.model = write_model(folder, text, metadata),
                               .settings = {.force_atomic_numbers = forced}});
    Particles pair = sample(0);
    Result result;
    Evaluator(potential).evaluate(pair.view(), {.particle_energies = true, .forces = false},
                                  result);
    return result.particle_energies[1];  // an oxygen
  };
  EXPECT_EQ(energy_of("species", raw), 1.0);
  EXPECT_EQ(energy_of("z", raw), 8.0);
  EXPECT_EQ(energy_of("atomic_numbers", raw), 8.0);
  EXPECT_EQ(energy_of("z", with(raw, "species_input", "code")), 1.0);
  EXPECT_EQ(energy_of("species", with(raw, "species_input", "atomic_number")), 8.0);
  EXPECT_EQ(energy_of("species", raw, true), 8.0);
  EXPECT_TRUE(
      contains(error_of([&] { energy_of("z", with(raw, "species", "Si user01")); }), "user01"));
}

TEST(Potential, EnergiesOfEveryShape) {
  auto const particles = sample();
  auto const evaluate_forward = [&](std::string const& result, Request const& request) {
    TemporaryFolder const folder;
    return evaluate(
        write_model(
            folder,
            raw_head + "    e = self.w * (coords * coords).sum(1)\n    return " + result + "\n",
            raw),
        particles, request);
  };
  Request const forces_only = {.energy = true, .forces = true};
  auto const all = evaluate_forward("e", everything);
  EXPECT_NEAR(evaluate_forward("e.unsqueeze(1)", everything).energy, all.energy, 1e-10);
  EXPECT_NEAR(
      evaluate_forward("e.index_select(0, contributing.nonzero().squeeze(1))", everything).energy,
      all.energy, 1e-10);
  for (auto const* total : {"(e * contributing).sum()", "(e * contributing).sum().reshape(1, 1)"}) {
    auto const result = evaluate_forward(total, forces_only);
    EXPECT_NEAR(result.energy, all.energy, 1e-10);
    EXPECT_TRUE(
        contains(error_of([&] { evaluate_forward(total, everything); }), "energies of particles"));
  }
  EXPECT_TRUE(contains(error_of([&] { evaluate_forward("e[:2]", forces_only); }), "shape [2]"));
  EXPECT_TRUE(contains(error_of([&] { evaluate_forward("coords", forces_only); }), "shape [4, 3]"));
  EXPECT_TRUE(contains(error_of([&] { evaluate_forward("species", forces_only); }), "type Long"));
  EXPECT_TRUE(contains(error_of([&] { evaluate_forward("[e]", forces_only); }),
                       "expected a tensor or two tensors"));
}

TEST(Potential, ArgumentsWithDefaultsAreLeftAlone) {
  TemporaryFolder const folder;
  auto const model = write_model(
      folder,
      "def forward(self, species, coords, n_neigh, nlist, contributing, scale: float = 2.0):\n"
      "    return scale * self.w * coords.sum(1)\n",
      raw);
  EXPECT_EQ(evaluate(model, sample(0)).forces, std::vector<double>(72, -2.0));
}

TEST(Potential, ReturnedForcesAreTaken) {
  TemporaryFolder const folder;
  auto const particles = sample();
  auto const model = write_model(
      folder,
      raw_head +
          "    assert not coords.requires_grad\n"
          "    return (self.w * coords.sum(1), self.w * torch.ones_like(coords) * 3.0)\n",
      raw);
  EXPECT_EQ(evaluate(model, particles).forces, std::vector<double>(72, 3.0));
  auto const wrong =
      write_model(folder, raw_head + "    return (self.w * coords.sum(1), coords[:, :2])\n", raw);
  EXPECT_TRUE(contains(error_of([&] { evaluate(wrong, particles); }),
                       "forces of shape [4, 2], expected [4, 3]"));
  auto const absent = write_model(folder, raw_head + "    return self.w * coords.sum(1)\n",
                                  with(raw, "returns_forces", "true"));
  EXPECT_TRUE(contains(error_of([&] { evaluate(absent, particles); }), "returned no forces"));
}

TEST(Potential, AnEnergyAloneNeedsNoGradient) {
  TemporaryFolder const folder;
  // 100 eV for each contributing particle when a gradient is prepared.
  auto const model = write_model(
      folder,
      raw_head + "    return self.w * (coords.sum(1) + (100.0 if coords.requires_grad else 0.0))\n",
      raw);
  auto const particles = sample(0);
  EXPECT_NEAR(
      evaluate(model, particles).energy - evaluate(model, particles, {.forces = false}).energy,
      2400.0, 1e-9);
}

TEST(Potential, AnEnergyThatCannotBeDifferentiatedIsRefused) {
  TemporaryFolder const folder;
  auto const model = write_model(
      folder, raw_head + "    return self.w * (coords.detach() * coords.detach()).sum(1)\n", raw);
  EXPECT_TRUE(contains(error_of([&] { evaluate(model, sample()); }), "can be differentiated"));
}

TEST(Potential, AModelMayKeepItsInputs) {
  TemporaryFolder const folder;
  torch::jit::Module module("model");
  module.register_attribute("last", c10::TensorType::get(), torch::zeros({1}, torch::kInt64));
  module.define(raw_head +
                "    kept = self.last.sum()\n    self.last = species\n"
                "    return coords.sum(1) + 0.0 * kept + kept\n");
  module.save(
      (folder / "model.pt").string(),
      {{"torchml/convention", "none"}, {"torchml/species", "Si O"}, {"torchml/cutoff", "2.0"}});
  Potential const potential({.model = folder / "model.pt"});
  Evaluator evaluator(potential);
  auto const particles = sample(0);
  Result first;
  Result second;
  evaluator.evaluate(particles.view(), {.forces = false}, first);
  evaluator.evaluate(particles.view(), {.forces = false}, second);
  // 12 of the 24 particles have code 1; the probe before had two of four.
  EXPECT_NEAR(second.energy - first.energy, 24 * (12.0 - 2.0), 1e-9);
}

TEST(Potential, AnEnergyWithoutCoordinatesHasNoForces) {
  TemporaryFolder const folder;
  auto const model = write_model(
      folder, raw_head + "    return self.w * torch.ones(coords.size(0), dtype=self.w.dtype)\n",
      raw);
  EXPECT_EQ(evaluate(model, sample()).forces, std::vector<double>(72, 0.0));
}

TEST(Potential, BadNumbersAreErrors) {
  TemporaryFolder const folder;
  auto const model = write_model(folder, raw_pairs, raw);
  auto particles = sample();
  particles.coordinates[7] = std::nan("");
  EXPECT_TRUE(contains(error_of([&] { evaluate(model, particles); }), "coordinate of particle 2"));
  particles = sample();
  particles.species[3] = 2;
  EXPECT_TRUE(
      contains(error_of([&] { evaluate(model, particles); }), "particle 3 has species code 2"));
  auto const nan = write_model(
      folder, raw_head + "    return self.w * coords.sum(1) * (0.0 / self.w - 1.0).log()\n", raw);
  EXPECT_TRUE(contains(error_of([&] { evaluate(nan, sample()); }), "not finite"));
}

TEST(Potential, ModelsThatCannotWorkAreRefusedWhenOpened) {
  TemporaryFolder const folder;
  auto const expect_refused = [&](fs::path const& path, std::string const& reason) {
    auto const message = error_of([&] { Potential const potential({.model = path}); });
    EXPECT_TRUE(contains(message, reason)) << message;
  };
  expect_refused(folder / "absent.pt", "does not exist");
  expect_refused(folder.write("text.pt", "not a model"), "text.pt");
  auto const good = write_model(folder, raw_pairs, raw);
  fs::resize_file(good, 2000);
  expect_refused(good, "model.pt");
  expect_refused(
      write_model(
          folder,
          raw_head + "    assert coords.size(0) < 0, 'model says no'\n    return coords.sum(1)\n",
          raw),
      "AssertionError: model says no");
  expect_refused(
      write_model(folder, raw_head + "    return coords.sum(1)\n", with(graph, "layers", "3")),
      "forward takes 5 arguments, expected (species, coords, edge_index0..edge_index2");
  expect_refused(write_model(folder, graph_layers, edges),
                 "expected only node_counts and edge_counts");
  expect_refused(write_model(folder, "def forward(self, d):\n    return self.w * d\n",
                             with(raw, "convention", "descriptor")),
                 "the parameters of the descriptor are given nowhere");
  expect_refused(write_model(folder, raw_pairs, {}), "given nowhere");
  expect_refused(write_model(folder, raw_pairs, with(raw, "cutof", "4.0")), "unknown key 'cutof'");
}

TEST(Potential, NothingIsSharedBetweenEvaluators) {
  TemporaryFolder const folder;
  Potential const potential({.model = write_model(folder, edge_layers, edges)});
  Evaluator a(potential);
  Evaluator b(potential);
  Result first;
  Result again;
  Result other;
  auto const large = sample();
  auto small = random_particles(6, 3.0, 1, 9);
  small.list_neighbors(2.5);
  a.evaluate(large.view(), everything, first);
  b.evaluate(small.view(), everything, other);
  a.evaluate(large.view(), everything, again);
  EXPECT_EQ(first.forces, again.forces);
}

TEST(Evaluator, ThreadsShareTheEdges) {
  TemporaryFolder const folder;
  double const cutoff = 9.0;
  auto fields = with(with(edges, "cutoff", "9.0"), "layers", "1");
  auto const model =
      write_model(folder,
                  "def forward(self, species, edge_vectors, edge_index, contributing):\n"
                  "    squares = self.w * edge_vectors.square().sum(1)\n"
                  "    return torch.zeros(species.size(0), dtype=squares.dtype)"
                  ".index_add(0, edge_index[1], squares)\n",
                  fields);
  auto particles = random_particles(1100, 25.0, 300, 3);
  particles.list_neighbors(cutoff + 0.3);
  auto const run = [&](int threads) {
    ThreadScope const scope(threads);
    return evaluate(model, particles);
  };
  auto const one = run(1), three = run(3);
  EXPECT_EQ(one.energy, three.energy);
  EXPECT_EQ(one.forces, three.forces);
  EXPECT_EQ(one.kim_virial, three.kim_virial);
  EXPECT_EQ(one.kim_particle_virials, three.kim_particle_virials);

  std::vector<double> forces(one.forces.size(), 0.0), diagonal(one.forces.size(), 0.0);
  int count = 0;
  for (int i = 0; i < 1100; ++i)
    for (int j = 0; j < 1100; ++j) {
      if (i == j || particles.contributing[i] == 0 || particles.distance(i, j) >= cutoff) continue;
      ++count;
      for (int axis = 0; axis < 3; ++axis) {
        double const x = particles.coordinates[3 * j + axis] - particles.coordinates[3 * i + axis];
        forces[3 * j + axis] -= 2.0 * x;
        forces[3 * i + axis] += 2.0 * x;
        for (int const end : {i, j}) diagonal[3 * end + axis] += x * x;
      }
    }
  ASSERT_GT(count, 65536);  // so that there are several parts
  for (int i = 0; i < 1100; ++i)
    for (int axis = 0; axis < 3; ++axis) {
      EXPECT_NEAR(one.forces[3 * i + axis], forces[3 * i + axis], 1e-9);
      EXPECT_NEAR(one.kim_particle_virials[6 * i + axis], diagonal[3 * i + axis], 1e-9);
    }
}

}  // namespace
}  // namespace torchml::test::potential_tests
