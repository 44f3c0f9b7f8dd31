// Images are found and proved; particles that only look like images keep themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "graph/image_map.hpp"
#include "graph/image_proof.hpp"
#include "graph/image_search.hpp"
#include "graph/surroundings.hpp"
#include "graph/translation_tracker.hpp"
#include "periodic.hpp"
#include "support.hpp"

namespace torchml::test::image_map_tests {
namespace {

constexpr double cutoff = 4.0;
constexpr int layers = 3;
constexpr double skin = 2.0;

class ImageMaps : public testing::Test {
 protected:
  explicit ImageMaps(double rattle = 0.15) : system_(diamond(2, rattle)) {
    system_.surround(layers * cutoff + skin, cutoff + skin);
  }

  bool find() {
    lists_.rebuild(system_.view(), cutoff, layers);
    return map_.find(system_.view(), lists_, cutoff);
  }

  /// A ghost in reach of the atoms, whose list is read.
  int close_ghost() {
    lists_.rebuild(system_.view(), cutoff, layers);
    return lists_.reached()[lists_.reached_within(0)];
  }

  PeriodicSystem system_;
  CachedNeighbors lists_;
  ImageMap map_;
};

TEST_F(ImageMaps, OwnersAreTheAtoms) {
  ASSERT_TRUE(find());
  std::set<int> owners;
  for (int const particle : lists_.reached()) {
    EXPECT_EQ(map_.owners()[particle], system_.image_of[particle]);
    owners.insert(map_.owners()[particle]);
  }
  EXPECT_EQ(owners.size(), system_.atom_species.size());
  EXPECT_FALSE(map_.same_translations()) << "none was known before";
  ASSERT_TRUE(find());
  EXPECT_TRUE(map_.same_translations());
}

TEST_F(ImageMaps, HoldWhileImagesMoveWithTheirOwners) {
  EXPECT_FALSE(map_.holds(system_.view())) << "nothing was found yet";
  int const ghost = close_ghost();
  ASSERT_TRUE(find());
  for (unsigned step = 1; step < 4; ++step) {
    system_.move(0.01, step);
    EXPECT_TRUE(map_.holds(system_.view()));
  }
  system_.coordinates[3 * ghost] += 1e-6;
  EXPECT_FALSE(map_.holds(system_.view()));
}

TEST_F(ImageMaps, HoldInACellThatDeforms) {
  int const ghost = close_ghost();
  ASSERT_TRUE(find());
  system_.box[0] = {10.81, 0.003, 0.0};
  system_.place();
  EXPECT_TRUE(map_.holds(system_.view()));
  // One image of many: its translation is no sum of the others any more.
  system_.cells[ghost][0] += 1;
  system_.place();
  EXPECT_FALSE(map_.holds(system_.view()));
}

TEST_F(ImageMaps, AGhostOfAnotherSpeciesIsNoImage) {
  int const ghost = close_ghost();
  ASSERT_TRUE(find());
  ASSERT_NE(map_.owners()[ghost], ghost);
  system_.species[ghost] = 1 - system_.species[ghost];
  EXPECT_FALSE(map_.holds(system_.view()));
  find();
  EXPECT_EQ(map_.owners()[ghost], ghost);
}

TEST_F(ImageMaps, ContributingParticlesOwnThemselves) {
  system_.contributing[close_ghost()] = 1;
  EXPECT_FALSE(find());
  for (std::size_t particle = 0; particle < system_.species.size(); ++particle)
    EXPECT_EQ(map_.owners()[particle], static_cast<int>(particle));
}

TEST_F(ImageMaps, OneLayerHasNothingToShare) {
  lists_.rebuild(system_.view(), cutoff, 1);
  EXPECT_FALSE(map_.find(system_.view(), lists_, cutoff));
}

class PerfectCrystal : public ImageMaps {
 protected:
  PerfectCrystal() : ImageMaps(0.0) {}
};

TEST_F(PerfectCrystal, HasSymmetriesThatLookLikeImages) {
  EXPECT_FALSE(find());
  ImageSearch search;
  EXPECT_FALSE(search.link(system_.view(), lists_, coordinate_tolerance(system_.view()), {}));
}

TEST_F(ImageMaps, SurroundingsAreComparedUpToTheTolerance) {
  int const image = close_ghost();
  auto const view = system_.view();
  double const tolerance = coordinate_tolerance(view);
  EXPECT_GT(tolerance, 0.0);
  EXPECT_LE(tolerance, 1e-11);
  int const atom = system_.image_of[image];
  EXPECT_TRUE(same_surroundings(view, lists_, tolerance, image, atom));
  EXPECT_FALSE(same_surroundings(view, lists_, tolerance, image, (atom + 1) % 64));
  EXPECT_TRUE(same_surroundings(view, lists_, tolerance, image, atom, system_.image_of));
  auto owners = system_.image_of;
  owners[lists_.neighbors(image)[0]] = -1;
  EXPECT_FALSE(same_surroundings(view, lists_, tolerance, image, atom, owners));
}

TEST_F(ImageMaps, TheProofRefusesAWrongOwner) {
  lists_.rebuild(system_.view(), cutoff, layers);
  std::vector<int> owners(system_.species.size());
  std::vector<Image> images;
  for (std::size_t place = 0; place < lists_.reached().size(); ++place) {
    int const particle = lists_.reached()[place];
    owners[particle] = system_.image_of[particle];
    if (owners[particle] != particle) images.push_back({particle, owners[particle], 0, place});
  }
  double const tolerance = coordinate_tolerance(system_.view());
  auto all = images;
  ASSERT_TRUE(prove_images(system_.view(), lists_, tolerance, all, owners));
  EXPECT_EQ(all.size(), images.size());

  int const wrong = images.front().particle;
  images.front().owner = owners[wrong] = (owners[wrong] + 1) % 64;
  prove_images(system_.view(), lists_, tolerance, images, owners);
  EXPECT_EQ(owners[wrong], wrong);
  for (auto const& image : images) EXPECT_NE(image.particle, wrong);
}

TEST(TranslationTracker, KnowsSumsOfThreeTranslations) {
  TranslationTracker tracker;
  EXPECT_TRUE(tracker.start({{10, 0, 0}, {0, 10, 0}, {10, 10, 0}, {0, 1, 9}, {10, 11, 9}}, 1e-12));
  EXPECT_EQ(tracker.translations().size(), 5U);
  EXPECT_TRUE(tracker.start({{10, 0, 0}, {20, 0, 0}}, 1e-12));
  // A fourth one that is no sum of the others, even though it lies in their space.
  EXPECT_TRUE(tracker.start({{10, 0, 0}, {0, 10, 0}, {0, 0, 10}, {5, 5, 5}}, 1e-12));
}

}  // namespace
}  // namespace torchml::test::image_map_tests
