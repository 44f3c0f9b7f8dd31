// Environment variables become settings in one place, and wrong values are refused there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "host/launchers.hpp"
#include "host/runtime_settings.hpp"
#include "support.hpp"

namespace torchml::test::runtime_settings_tests {
namespace {

class RuntimeSettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (auto const* name : {"TORCHML_ALLOCATOR", "TORCHML_FOLDING", "TORCHML_EXTENSIONS",
                             "TORCHML_EXTENSION_PATH", "TORCHML_NEIGHBORS", "TORCHML_STDERR"})
      unsetenv(name);
    for (auto const& launcher : launchers())
      for (auto const& name :
           {launcher.local_rank, launcher.local_size, launcher.rank, launcher.size})
        if (!name.empty()) unsetenv(name.c_str());
  }
};

TEST_F(RuntimeSettingsTest, AreTheDefaultsInAnEmptyEnvironment) {
  auto const settings = RuntimeSettings::from_environment();
  EXPECT_EQ(settings.device, "cpu");
  EXPECT_FALSE(settings.force_atomic_numbers);
  EXPECT_TRUE(settings.caching_allocator);
  EXPECT_TRUE(settings.ghost_folding);
  EXPECT_EQ(settings.neighbors, ListPolicy::complete);
  EXPECT_TRUE(errors_are_printed());
  EXPECT_TRUE(settings.extensions.empty());
  EXPECT_TRUE(settings.extension_folders.empty());
  EXPECT_EQ(settings.ranks.local_rank, 0);
  EXPECT_EQ(settings.ranks.local_size, 1);
  EXPECT_EQ(settings.job_size, 1);
}

TEST_F(RuntimeSettingsTest, SwitchesAreOnOrOff) {
  for (auto const* name : {"TORCHML_ALLOCATOR", "TORCHML_FOLDING"}) {
    auto const value = [&](char const* text) {
      setenv(name, text, 1);
      auto const settings = RuntimeSettings::from_environment();
      return std::string(name) == "TORCHML_FOLDING" ? settings.ghost_folding
                                                    : settings.caching_allocator;
    };
    EXPECT_FALSE(value("off"));
    EXPECT_FALSE(value(" OFF "));
    EXPECT_TRUE(value("on"));
    EXPECT_TRUE(value(""));
    setenv(name, "nonsense", 1);
    EXPECT_EQ(error_of([] { RuntimeSettings::from_environment(); }),
              std::string(name) + " is 'nonsense', expected on or off");
    unsetenv(name);
  }
}

TEST_F(RuntimeSettingsTest, IncompleteListsNeedAPolicy) {
  for (auto const& [text, policy] : {std::pair{"excluded", ListPolicy::excluded},
                                     {" As_Given ", ListPolicy::as_given},
                                     {"complete", ListPolicy::complete}}) {
    setenv("TORCHML_NEIGHBORS", text, 1);
    EXPECT_EQ(RuntimeSettings::from_environment().neighbors, policy) << text;
  }
  setenv("TORCHML_NEIGHBORS", "all", 1);
  EXPECT_EQ(error_of([] { RuntimeSettings::from_environment(); }),
            "TORCHML_NEIGHBORS is 'all', expected complete, excluded or as_given");
}

TEST_F(RuntimeSettingsTest, ErrorsArePrintedUnlessSwitchedOff) {
  setenv("TORCHML_STDERR", "off", 1);
  EXPECT_FALSE(errors_are_printed());
  RuntimeSettings::from_environment();
  setenv("TORCHML_STDERR", "never", 1);
  EXPECT_TRUE(errors_are_printed());
  EXPECT_EQ(error_of([] { RuntimeSettings::from_environment(); }),
            "TORCHML_STDERR is 'never', expected on or off");
}

TEST_F(RuntimeSettingsTest, ListsAreSeparatedByColons) {
  setenv("TORCHML_EXTENSIONS", "torch_scatter::/opt/lib/ops.so", 1);
  setenv("TORCHML_EXTENSION_PATH", "/opt/a:/opt/b:", 1);
  auto const settings = RuntimeSettings::from_environment();
  EXPECT_EQ(settings.extensions, (std::vector<std::string>{"torch_scatter", "/opt/lib/ops.so"}));
  EXPECT_EQ(settings.extension_folders, (std::vector<fs::path>{"/opt/a", "/opt/b"}));
}

TEST_F(RuntimeSettingsTest, RanksAreThoseOfTheLauncher) {
  setenv("PALS_LOCAL_RANKID", "2", 1);
  setenv("PALS_LOCAL_SIZE", "4", 1);
  setenv("PALS_SIZE", "8", 1);
  auto const settings = RuntimeSettings::from_environment();
  EXPECT_EQ(settings.ranks.local_rank, 2);
  EXPECT_EQ(settings.ranks.local_size, 4);
  EXPECT_EQ(settings.job_size, 8);
}

TEST(Launchers, HaveVariablesOfTheirOwn) {
  std::multiset<std::string> names;
  for (auto const& launcher : launchers())
    for (auto const& name :
         {launcher.local_rank, launcher.local_size, launcher.rank, launcher.size})
      if (!name.empty()) names.insert(name);
  for (auto const& name : names) EXPECT_EQ(names.count(name), 1U) << name;
  EXPECT_GE(names.size(), 20U);
}

TEST(Launchers, NumbersAreReadAsLaunchersWriteThem) {
  for (auto const& [text, number] :
       {std::pair{"4", 4}, {"4(x2)", 4}, {" 3 ", 3}, {"7,2", 7}, {"-1", -1}}) {
    setenv("TORCHML_TEST_NUMBER", text, 1);
    EXPECT_EQ(number_in_environment("TORCHML_TEST_NUMBER"), number) << text;
  }
  for (auto const* text : {"", "four", "4 of 8"}) {
    setenv("TORCHML_TEST_NUMBER", text, 1);
    EXPECT_EQ(number_in_environment("TORCHML_TEST_NUMBER"), std::nullopt) << text;
  }
  unsetenv("TORCHML_TEST_NUMBER");
  EXPECT_EQ(number_in_environment("TORCHML_TEST_NUMBER"), std::nullopt);
}

}  // namespace
}  // namespace torchml::test::runtime_settings_tests
