// The entry points KIM-API calls. No exception leaves them: whatever goes wrong becomes an error
// code and one line in KIM's log, the first one also on stderr.
#include <c10/util/Exception.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "KIM_ModelDriverHeaders.hpp"
#include "compute.hpp"
#include "host/mpi_world.hpp"
#include "host/runtime_settings.hpp"
#include "kim_model.hpp"
#include "model/torch_error.hpp"
#include "registration.hpp"

namespace {

using torchml::kim::Computation;
using torchml::kim::Model;

/// Sends libtorch's warnings to KIM's log: a library does not print.
template <class KimObject>
class WarningsToLog final : public c10::WarningHandler {
 public:
  explicit WarningsToLog(KimObject* object) : object_(object) {}
  void process(c10::Warning const& warning) override {
    object_->LogEntry(KIM::LOG_VERBOSITY::warning, warning.msg(), __LINE__, __FILE__);
  }

 private:
  KimObject* object_;
};

/// Prints the first error of the process to stderr: simulators end there with words of their own,
/// and few users know KIM-API's log.
void print_once(std::string const& sentence) {
  static std::atomic_flag printed;
  if (torchml::errors_are_printed() && !printed.test_and_set())
    std::fputs(("TorchML: " + sentence + "\n").c_str(), stderr);
}

/// Runs the body of an entry point; returns KIM's error code.
template <class KimObject, class Body>
int guarded(KimObject* object, Body const& body) noexcept {
  auto const fail = [&](std::string const& sentence) {
    object->LogEntry(KIM::LOG_VERBOSITY::error, sentence, __LINE__, __FILE__);
    print_once(sentence);
  };
  try {
    WarningsToLog<KimObject> handler(object);
    c10::WarningUtils::WarningHandlerGuard const guard(&handler);
    try {
      body();
      return 0;
    } catch (std::exception const& exception) {
      fail(torchml::describe(exception));
    } catch (...) {
      fail("an unknown exception was thrown");
    }
  } catch (...) {  // not even logging worked
  }
  return 1;
}

template <class Object, class KimObject>
Object* buffer_of(KimObject const* object) {
  void* buffer = nullptr;
  object->GetModelBufferPointer(&buffer);
  return static_cast<Object*>(buffer);
}

int compute(KIM::ModelCompute const* const model_compute,
            KIM::ModelComputeArguments const* const arguments) {
  auto const& model = *buffer_of<Model>(model_compute);
  int const failed = guarded(
      model_compute, [&] { buffer_of<Computation>(arguments)->compute(model, *arguments); });
  if (failed != 0 && model.aborts) torchml::abort_job();
  return failed;
}

int compute_arguments_create(KIM::ModelCompute const* const model_compute,
                             KIM::ModelComputeArgumentsCreate* const create) {
  return guarded(create, [&] {
    auto const& model = *buffer_of<Model>(model_compute);
    register_arguments(*create, model);
    create->SetModelBufferPointer(std::make_unique<Computation>(model).release());
  });
}

int compute_arguments_destroy(KIM::ModelCompute const* const /*model_compute*/,
                              KIM::ModelComputeArgumentsDestroy* const destroy) {
  return guarded(destroy,
                 [&] { std::unique_ptr<Computation> const last(buffer_of<Computation>(destroy)); });
}

int destroy(KIM::ModelDestroy* const model_destroy) {
  return guarded(model_destroy,
                 [&] { std::unique_ptr<Model> const last(buffer_of<Model>(model_destroy)); });
}

template <class Routine>
KIM::Function* as_function(Routine* routine) {
  return reinterpret_cast<KIM::Function*>(routine);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int model_driver_create(
    KIM::ModelDriverCreate* const create, KIM::LengthUnit const length,
    KIM::EnergyUnit const energy, KIM::ChargeUnit const /*charge*/,
    KIM::TemperatureUnit const /*temperature*/, KIM::TimeUnit const /*time*/) {
  return guarded(create, [&] {
    auto model = torchml::kim::create_model(*create, length, energy);
    torchml::kim::register_model(*create, *model);

    // Neither Refresh nor WriteParameterizedModel: they exist for parameters that a simulator may
    // change, and a TorchScript model has none.
    namespace routine = KIM::MODEL_ROUTINE_NAME;
    auto const cpp = KIM::LANGUAGE_NAME::cpp;
    KIM::ModelComputeArgumentsCreateFunction* const arguments_create = compute_arguments_create;
    KIM::ModelComputeFunction* const model_compute = compute;
    KIM::ModelComputeArgumentsDestroyFunction* const arguments_destroy = compute_arguments_destroy;
    KIM::ModelDestroyFunction* const model_destroy = destroy;
    bool const failed =
        create->SetRoutinePointer(routine::ComputeArgumentsCreate, cpp, 1,
                                  as_function(arguments_create)) != 0 ||
        create->SetRoutinePointer(routine::Compute, cpp, 1, as_function(model_compute)) != 0 ||
        create->SetRoutinePointer(routine::ComputeArgumentsDestroy, cpp, 1,
                                  as_function(arguments_destroy)) != 0 ||
        create->SetRoutinePointer(routine::Destroy, cpp, 1, as_function(model_destroy)) != 0;
    if (failed) throw std::runtime_error("KIM-API refused a routine of the driver");
    create->SetModelBufferPointer(model.release());
  });
}
