#include "model/fallback.hpp"

#include "host/device.hpp"
#include "host/temporary_folder.hpp"
#include "model/aoti_host_check.hpp"
#include "model/archive_metadata.hpp"
#include "torchml/common/error.hpp"

namespace torchml {

std::string replace_unfit_archive(ModelFiles& files, RuntimeSettings const& settings) {
  if (!files.fallback) return {};
  auto const device = pick_device(settings.device, settings.ranks.local_rank);
  auto const metadata = read_metadata(files.model);
  try {
    require_fit(metadata, device);
    require_temporary_folder(files.model);
    return {};
  } catch (Error const& error) {
    files.model = *files.fallback;
    for (auto& [source, fields] : files.declared)  // they describe the compiled archive
      for (auto const* const key : {"returns_forces", "number_of_inputs"}) fields.erase(key);
    return files.model.filename().string() + " runs in the place of the compiled archive, since " +
           error.what();
  }
}

}  // namespace torchml
