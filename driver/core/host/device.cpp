#include "host/device.hpp"

#include <torch/cuda.h>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {

torch::Device pick_device(std::string const& name, int node_local_rank) {
  auto const requested = lower(trim(name));
  if (requested.empty() || requested == "cpu") return torch::kCPU;

  bool const any = requested == "cuda";
  int const index =
      requested.starts_with("cuda:") ? parse_number<int>(requested.substr(5)).value_or(-1) : -1;
  if (!any && index < 0)
    throw Error("execution device '" + name + "' is unknown, expected cpu, cuda or cuda:K");

  int const count = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  if (count == 0)
    throw Error("execution device '" + name + "' was requested but " +
                (torch::hasCUDA() ? "no CUDA GPU is visible"
                                  : "this libtorch has no CUDA or finds no GPU") +
                ", expected a CUDA build of libtorch and a GPU, or the device cpu");
  if (index >= count)
    throw Error("execution device '" + name + "' was requested but " + std::to_string(count) +
                " GPU(s) are visible, expected cuda:0 to cuda:" + std::to_string(count - 1));
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(any ? node_local_rank % count : index)};
}

}  // namespace torchml
